/** Times and spans as text, in UTC or in the browser's own zone. Pure functions. */

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

interface Parts {
  year: string;
  date: string;
  clock: string;
  millis: string;
}

function parts(time: number, utc: boolean): Parts {
  const date = new Date(time);
  const shifted = utc ? date : new Date(time - date.getTimezoneOffset() * MINUTE);
  const text = shifted.toISOString();
  return {
    year: text.slice(0, 4),
    date: text.slice(0, 10),
    clock: text.slice(11, 19),
    millis: text.slice(20, 23),
  };
}

/** 2026-11-24 21:12:03.250 */
export function full(time: number, utc: boolean): string {
  const { date, clock, millis } = parts(time, utc);
  return `${date} ${clock}.${millis}`;
}

/** As much of a time as tells points apart that are `step` ms apart in a range of `span` ms. */
export function moment(time: number, step: number, span: number, utc: boolean): string {
  const { date, clock } = parts(time, utc);
  const hours = step % MINUTE === 0 ? clock.slice(0, 5) : clock;
  return span > DAY * 0.9 ? `${date.slice(5)} ${hours}` : hours;
}

/** A label of a time axis whose labels are `step` ms apart; midnight shows its date. */
export function tick(time: number, step: number, utc: boolean): string {
  const { date, clock } = parts(time, utc);
  const day = `${MONTHS[Number(date.slice(5, 7)) - 1]} ${Number(date.slice(8))}`;
  if (step >= DAY || clock === "00:00:00") return day;
  return step >= MINUTE ? clock.slice(0, 5) : clock;
}

/** Both ends, the date once if it is the same. */
export function spanText(from: number, to: number, utc: boolean): string {
  const a = parts(from, utc);
  const b = parts(to, utc);
  const fine = to - from < HOUR;
  const left = fine ? a.clock : a.clock.slice(0, 5);
  const right = fine ? b.clock : b.clock.slice(0, 5);
  if (a.date === b.date) return `${a.date.slice(5)} ${left} – ${right}`;
  return `${a.date.slice(5)} ${left} – ${b.date.slice(5)} ${right}`;
}

/** When something was: both ends, or one time if it was but a moment. */
export function whenText(from: number, to: number, utc: boolean): string {
  return to - from < 1000 ? full(from, utc).slice(5, 19) : spanText(from, to, utc);
}

/** How long, in words: "4 s", "3 min", "2 h". */
export function length(ms: number): string {
  if (ms < MINUTE) return `${Math.max(0, Math.round(ms / 1000))} s`;
  if (ms < HOUR) return `${Math.round(ms / MINUTE)} min`;
  if (ms < 2 * DAY) return `${Math.round(ms / HOUR)} h`;
  return `${Math.round(ms / DAY)} d`;
}

/** The value of an <input type="datetime-local" step="1">. */
export function input(time: number, utc: boolean): string {
  const { date, clock } = parts(time, utc);
  return `${date}T${clock}`;
}

/** What was typed into such an input; null if it is no time. */
export function typed(text: string, utc: boolean): number | null {
  const time = Date.parse(utc && text ? `${text}Z` : text);
  return Number.isFinite(time) ? time : null;
}
