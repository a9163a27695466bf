"""What the agent's findings rest on: functions of arrays that know nothing of stores or queries.

Times are int64 milliseconds, values float64 with NaN for what is missing. Nothing here keeps state;
the same arrays give the same answer.
"""
