//! Opening hours in a named time zone. The only place that names `jiff`; its zone database is compiled in.

use crate::base::time::Wall;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use std::fmt;

/// Weekly hours (`mon-fri 09:00-18:00, sat 10:00-14:00`) or days, in a time zone.
#[derive(Clone, Debug)]
pub struct Hours {
    written: String,
    zone: TimeZone,
    zone_name: String,
    spans: Vec<Span>,
}

/// On these weekdays (bit 0 is Monday) from a minute of the day to another; an end at or before the begin is on the next day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Span {
    days: u8,
    begin: u16,
    end: u16,
}

const DAY: u16 = 24 * 60;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Hours {
    /// Parts by commas, each days and times: `mon-fri 09:00-12:00 13:00-18:00, sat 10:00-14:00`; `22:00-06:00` runs into the next
    /// day; no days: every day; no time: the whole day; days alone before a comma share the times that follow (`mon, wed 09:00-12:00`).
    pub fn parse(text: &str, zone: &str) -> Result<Hours, String> {
        let mut spans = Vec::new();
        let mut days = 0u8;
        for part in text.split(',') {
            let mut times = 0;
            for word in part.split_whitespace() {
                if word.starts_with(|c: char| c.is_ascii_digit()) {
                    let (begin, end) = parse_times(word)?;
                    spans.push(Span { days: if days == 0 { 0x7F } else { days }, begin, end });
                    times += 1;
                } else if times > 0 {
                    return Err(format!("in \"{text}\" the day \"{word}\" stands after a time"));
                } else {
                    days |= parse_days(word)?;
                }
            }
            if part.trim().is_empty() {
                return Err(format!("\"{text}\" has an empty part"));
            }
            if times > 0 {
                days = 0;
            }
        }
        if days != 0 {
            spans.push(Span { days, begin: 0, end: DAY });
        }
        Ok(Hours { written: text.to_owned(), zone: time_zone(zone)?, zone_name: zone.to_owned(), spans })
    }

    pub fn contains(&self, at: Wall) -> bool {
        let Some(local) = local(at, &self.zone) else { return false };
        let minute = u16::try_from(local.hour()).unwrap_or(0) * 60 + u16::try_from(local.minute()).unwrap_or(0);
        let today = 1u8 << (local.weekday().to_monday_zero_offset() & 7);
        let yesterday = if today == 1 { 1 << 6 } else { today >> 1 };
        self.spans.iter().any(|s| {
            let overnight = s.end <= s.begin;
            let begun = s.days & today != 0 && minute >= s.begin && (overnight || minute < s.end);
            begun || (overnight && s.days & yesterday != 0 && minute < s.end)
        })
    }

    /// The local weekday and time: `fri 18:03 in America/New_York`.
    pub fn local_time(&self, at: Wall) -> String {
        show_local(at, &self.zone, &self.zone_name)
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.written)
    }
}

/// Days of the calendar: `2026-12-25`, `2026-12-24..2027-01-01`, and `12-25` for each year.
#[derive(Clone, Debug)]
pub struct Dates {
    zone: TimeZone,
    zone_name: String,
    days: Vec<(String, Days)>,
}

#[derive(Clone, Copy, Debug)]
enum Days {
    Range(Date, Date),
    Yearly(i8, i8),
}

impl Dates {
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>, zone: &str) -> Result<Dates, String> {
        let days: Result<Vec<_>, String> = texts.into_iter().map(|t| Ok((t.to_owned(), parse_date(t)?))).collect();
        Ok(Dates { zone: time_zone(zone)?, zone_name: zone.to_owned(), days: days? })
    }

    pub fn contains(&self, at: Wall) -> bool {
        let Some(today) = local(at, &self.zone).map(|z| z.date()) else { return false };
        self.days.iter().any(|(_, days)| match days {
            Days::Range(first, last) => (*first..=*last).contains(&today),
            Days::Yearly(month, day) => (today.month(), today.day()) == (*month, *day),
        })
    }

    pub fn local_time(&self, at: Wall) -> String {
        show_local(at, &self.zone, &self.zone_name)
    }
}

impl fmt::Display for Dates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<&str> = self.days.iter().map(|(text, _)| text.as_str()).collect();
        f.write_str(&texts.join(", "))
    }
}

/// A moment as RFC 3339 writes it, with an offset: `2026-11-23T10:00:00-05:00`.
pub fn parse_moment(text: &str) -> Result<Wall, String> {
    let moment: Timestamp = text.parse().map_err(|_| format!("\"{text}\" is no moment"))?;
    Ok(Wall(moment.as_microsecond()))
}

pub fn is_time_zone(name: &str) -> bool {
    time_zone(name).is_ok()
}

fn time_zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| format!("unknown time zone \"{name}\""))
}

fn local(at: Wall, zone: &TimeZone) -> Option<Zoned> {
    Timestamp::from_microsecond(at.as_micros()).ok().map(|t| t.to_zoned(zone.clone()))
}

fn show_local(at: Wall, zone: &TimeZone, name: &str) -> String {
    local(at, zone).map_or_else(String::new, |z| {
        let day = DAYS.get(z.weekday().to_monday_zero_offset() as usize).copied().unwrap_or_default();
        format!("{day} {} {:02}:{:02} in {name}", z.date(), z.hour(), z.minute())
    })
}

fn parse_days(word: &str) -> Result<u8, String> {
    let day = |name: &str| {
        let lower = name.to_ascii_lowercase();
        let named = DAYS.iter().position(|d| lower.len() >= 3 && full_name(d).starts_with(&lower));
        named.ok_or_else(|| format!("\"{name}\" is no day of the week"))
    };
    let (first, last) = match word.split_once('-') {
        Some((first, last)) => (day(first)?, day(last)?),
        None => (day(word)?, day(word)?),
    };
    let span = (last + 7 - first) % 7;
    Ok((0..=span).fold(0, |bits, i| bits | 1 << ((first + i) % 7)))
}

fn full_name(short: &str) -> &'static str {
    let all = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    all.into_iter().find(|name| name.starts_with(short)).unwrap_or_default()
}

fn parse_times(word: &str) -> Result<(u16, u16), String> {
    let wrong = || format!("\"{word}\" is no span of time, such as 09:00-18:00");
    let minute = |text: &str| {
        let (h, m) = text.split_once(':')?;
        if h.len() > 2 || m.len() != 2 || !text.bytes().all(|b| b.is_ascii_digit() || b == b':') {
            return None;
        }
        let at = h.parse::<u16>().ok()? * 60 + m.parse::<u16>().ok().filter(|m| *m < 60)?;
        (at <= DAY).then_some(at)
    };
    let (begin, end) = word.split_once('-').ok_or_else(wrong)?;
    match (minute(begin), minute(end)) {
        (Some(begin), Some(end)) if begin < DAY && begin != end => Ok((begin, end)),
        _ => Err(wrong()),
    }
}

fn parse_date(text: &str) -> Result<Days, String> {
    let wrong = || format!("\"{text}\" is no date");
    let date = |t: &str| t.trim().parse::<Date>().map_err(|_| wrong());
    if let Some((first, last)) = text.split_once("..") {
        let (first, last) = (date(first)?, date(last)?);
        return if first <= last {
            Ok(Days::Range(first, last))
        } else {
            Err(format!("\"{text}\" ends before it begins"))
        };
    }
    if text.len() == 5 {
        // A leap year, so that 02-29 is a date.
        let day = date(&format!("2024-{text}"))?;
        return Ok(Days::Yearly(day.month(), day.day()));
    }
    date(text).map(|day| Days::Range(day, day))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(hours: &str, zone: &str, at: &str) -> bool {
        Hours::parse(hours, zone).unwrap().contains(parse_moment(at).unwrap())
    }

    #[test]
    fn hours_hold_in_their_time_zone() {
        let office = "mon-fri 09:00-18:00, sat 10:00-14:00";
        // 2026-11-23 is a Monday.
        let rows = [
            (office, "America/New_York", "2026-11-23T10:00:00-05:00", true),
            (office, "America/New_York", "2026-11-23T10:00:00Z", false),
            (office, "America/New_York", "2026-11-23T18:00:00-05:00", false),
            (office, "UTC", "2026-11-28T13:59:59Z", true),
            (office, "UTC", "2026-11-29T12:00:00Z", false),
            ("22:00-06:00", "UTC", "2026-11-23T23:00:00Z", true),
            ("22:00-06:00", "UTC", "2026-11-23T05:59:00Z", true),
            ("fri 22:00-06:00", "UTC", "2026-11-28T05:00:00Z", true),
            ("fri 22:00-06:00", "UTC", "2026-11-27T05:00:00Z", false),
            ("sun 22:00-06:00", "UTC", "2026-11-23T05:00:00Z", true),
            ("sat-mon", "UTC", "2026-11-23T00:00:00Z", true),
            ("sat-mon", "UTC", "2026-11-24T00:00:00Z", false),
            ("mon, wed 09:00-12:00", "UTC", "2026-11-25T09:00:00Z", true),
            ("mon 09:00-12:00 13:00-18:00", "UTC", "2026-11-23T12:30:00Z", false),
            ("mon 00:00-24:00", "UTC", "2026-11-23T23:59:59Z", true),
            ("Monday 9:00-24:00", "UTC", "2026-11-23T09:00:00Z", true),
        ];
        for (hours, zone, at, want) in rows {
            assert_eq!(check(hours, zone, at), want, "{hours} {zone} {at}");
        }
    }

    #[test]
    fn daylight_saving_time_moves_the_hours() {
        // New York changes on 2026-03-08 (02:00 → 03:00) and on 2026-11-01 (02:00 → 01:00).
        let rows = [
            ("2026-03-06T13:59:59Z", false),
            ("2026-03-06T14:00:00Z", true),
            ("2026-03-09T13:00:00Z", true),
            ("2026-03-09T12:59:59Z", false),
            ("2026-10-30T13:00:00Z", true),
            ("2026-11-02T13:00:00Z", false),
            ("2026-11-02T14:00:00Z", true),
        ];
        for (at, want) in rows {
            assert_eq!(check("mon-fri 09:00-17:00", "America/New_York", at), want, "{at}");
        }
        // 01:30 comes twice on that Sunday, and both are within.
        for at in ["2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z"] {
            assert!(check("sun 01:00-02:00", "America/New_York", at), "{at}");
        }
        // 02:30 never comes on that Sunday.
        for minute in 0..24 * 60 {
            let at = Wall(parse_moment("2026-03-08T05:00:00Z").unwrap().0 + minute * 60_000_000);
            assert!(!Hours::parse("sun 02:00-03:00", "America/New_York").unwrap().contains(at));
        }
    }

    #[test]
    fn dates_hold() {
        let dates = Dates::parse(["2026-12-24..2026-12-26", "01-01", "2026-11-23"], "Europe/Berlin").unwrap();
        let rows = [
            ("2026-12-26T22:59:59Z", true),
            ("2026-12-26T23:00:00Z", false),
            ("2030-01-01T12:00:00+01:00", true),
            ("2026-11-22T23:30:00Z", true),
            ("2026-11-24T12:00:00Z", false),
        ];
        for (at, want) in rows {
            assert_eq!(dates.contains(parse_moment(at).unwrap()), want, "{at}");
        }
        for bad in ["2026-13-01", "13-01", "x", "2026-12-26..2026-12-24", ""] {
            assert!(Dates::parse([bad], "UTC").is_err(), "{bad}");
        }
    }

    #[test]
    fn wrong_hours_are_refused() {
        for bad in [
            "",
            "mon-fri 9-18",
            "mon 25:00-26:00",
            "mon 09:00-09:00",
            "xyz 09:00-10:00",
            "mon 09:00-10:00,",
            "9:00-10:00 mon",
            "mon 9:0-10:00",
        ] {
            assert!(Hours::parse(bad, "UTC").is_err(), "{bad}");
        }
        assert!(Hours::parse("mon", "America/New_Yrok").is_err());
        assert_eq!(parse_moment("1970-01-01T01:00:00+01:00"), Ok(Wall(0)));
        assert!(parse_moment("2026-11-23T10:00:00").is_err());
    }
}
