"""Where each number of a series' state lies: positions in its row of floats and of integers.

A row of ``FLOATS`` float64 and ``INTS`` int32 is all that ``auto`` knows of a series, about 3 kB.
"""

from __future__ import annotations

import numpy as np

# --- views: the ways to look at a series, each with two tails (above, below) ------------------

VALUE = 0  # the sample itself
STEP = 1  # its difference to the one before
MEAN_SHORT = 2  # exponential mean over SHORT samples
MEAN_MIDDLE = 3
MEAN_LONG = 4
SPREAD_MIDDLE = 5  # log of the exponential standard deviation over MIDDLE samples
SPREAD_LONG = 6
SEASON = 7  # how far the sample is outside what this time of day has seen
LOCAL = 8  # distance to the middle mean, in middle spreads
CONTRAST = 9  # short mean minus long mean
RUN = 10  # log of how many samples have been exactly the same
VIEWS = 11
TAILS = 2 * VIEWS

SHORT, MIDDLE, LONG = 6.0, 24.0, 96.0
"""Samples that the exponential means and spreads remember: half an hour, two hours and a working
day of 5-minute samples; factors of four, so that an event of any length suits one of them."""

PEAKS = 5
"""Largest separate excesses kept of each tail: what "has been seen" means. With fewer, the tail's
spread is a guess; with more, it forgets less and learns recurrent events later."""

DAY_PARTS = 48
"""Parts of the day with a band of their own: half hours."""

ALARM_PARTS = 12
"""Parts of the day in which recurrent evidence is remembered: two hours, since a nightly job does
not start to the minute."""

REMEMBERED_DAYS = 3
EVENTS = 3
"""Largest past events; evidence counts less if the smallest of them was like it."""

# --- floats -----------------------------------------------------------------------------------

PREVIOUS = 0
MEANS = 1  # short, middle, long
DAY_MEAN = 4
VARIANCES = 5  # middle, long
STEP_MS = 7  # mean time between samples
LAST_MS = 8
LAST_RAW = 9  # the sample before, as it came (counters are turned into rates)
PART_LOW, PART_HIGH, PART_SUM = 10, 11, 12  # of the half hour that runs
SEASON_ERROR, LEVEL_ERROR = 13, 14  # mean errors of the day's profile, and of no profile
ALARM_PART_MOST = 15  # most evidence in the two hours that run
HELD = 16  # evidence of the event that lasts
EVENT_MOST = 17  # most evidence of the event that lasts, for the record of past events
SPENT = 18  # alarms not yet paid for by the budget
AFTERGLOW = 19  # score that an event leaves behind
# The newest event, for explanations.
EVENT_MS, EVENT_SCORE, EVENT_VALUE, EVENT_WHICH = 20, 21, 22, 23
EVENT_CENTRE, EVENT_SCALE, EVENT_RECORD = 24, 25, 26
FORGOT_MS = 27  # when the tails last forgot
WATCHED_MS = 28  # time that the series has been seen, long gaps left out
EVENT_SAMPLE = 29  # the sample of the newest event, as it was judged
EVENT_NUMBER = 30  # number of the sample with which that event began

CENTRES = 31
SCALES = CENTRES + VIEWS
SEEN = SCALES + VIEWS  # samples of each view, forgotten as the peaks are
PEAK = SEEN + VIEWS
BAND_LOW = PEAK + TAILS * PEAKS
BAND_HIGH = BAND_LOW + DAY_PARTS
BAND_MEAN = BAND_HIGH + DAY_PARTS
DAYS = BAND_MEAN + DAY_PARTS
PAST = DAYS + ALARM_PARTS * REMEMBERED_DAYS
FLOATS = PAST + EVENTS

# --- integers ---------------------------------------------------------------------------------

SAMPLES = 0
RUN_LENGTH = 1
PART = 2  # the half hour that runs; -1: none yet
PART_COUNT = 3
PARTS_JUDGED = 4
ALARM_PART = 5
KIND = 6  # 0 undecided, 1 gauge, 2 counter
RISES, FALLS = 7, 8
HELD_AT = 9  # sample at which the event that lasts was last strong
EVENT_AT = 10  # sample at which the event that lasts was at its most
LAST_ALARM = 11
PEAK_COUNT = 12
PEAK_AT = PEAK_COUNT + TAILS  # sample of the newest excess
PEAK_FROM = PEAK_AT + TAILS  # sample at which the newest peak began
PEAK_NEWEST = PEAK_FROM + TAILS  # its place; -1: none
BAND_DAYS = PEAK_NEWEST + TAILS  # days that each half hour has seen
INTS = BAND_DAYS + DAY_PARTS

AGO = -1_000_000
"""A sample number that is long ago."""

UNDECIDED, GAUGE, COUNTER = 0, 1, 2

FRESH = np.zeros(INTS, np.int32)
"""The integers of a series of which nothing is known (its floats are zeros)."""
FRESH[[PART, ALARM_PART]] = -1
FRESH[[HELD_AT, EVENT_AT, LAST_ALARM]] = AGO
FRESH[PEAK_AT : PEAK_AT + 2 * TAILS] = AGO
FRESH[PEAK_NEWEST : PEAK_NEWEST + TAILS] = -1
FRESH.flags.writeable = False
