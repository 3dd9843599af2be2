//! `metav1.Time` and `metav1.MicroTime` as texts, with the errors of Go's `time.Parse`.

use jiff::civil::DateTime;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

use crate::field::go_quote;

const TIME_LAYOUT: &str = "2006-01-02T15:04:05Z07:00";
const MICRO_LAYOUT: &str = "2006-01-02T15:04:05.000000Z07:00";

/// Reads RFC 3339: a `metav1.Time`. A fraction of a second is accepted.
///
/// # Errors
/// The text of Go's `time.Parse`; or that the time is among the last hours of the year 9999, with which can't be reckoned.
pub fn parse_time(text: &str) -> Result<Timestamp, String> {
    let parser = Parser::new(text, TIME_LAYOUT);
    let out_of_range = parser.out_of_range("year");
    Offset::UTC.to_timestamp(parser.parse(false)?).map_err(|_| out_of_range)
}

/// A `metav1.Time` as Go writes it: UTC, whole seconds. What is read is RFC 3339, with or without a fraction of a second.
///
/// # Errors
/// The text of Go's `time.Parse`.
pub fn canonical_time(text: &str) -> Result<String, String> {
    Ok(Parser::new(text, TIME_LAYOUT).parse(false)?.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// A `metav1.MicroTime` as Go writes it: UTC, six digits of a second, which what is read must have as well.
///
/// # Errors
/// The text of Go's `time.Parse`.
pub fn canonical_micro_time(text: &str) -> Result<String, String> {
    Ok(Parser::new(text, MICRO_LAYOUT).parse(true)?.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string())
}

struct Parser<'a> {
    text: &'a str,
    rest: &'a str,
    layout: &'static str,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, layout: &'static str) -> Self {
        Self { text, rest: text, layout }
    }

    /// The time in UTC.
    fn parse(mut self, micro: bool) -> Result<DateTime, String> {
        let year = self.digits(4, "2006")?;
        self.literal("-")?;
        let month = self.ranged("01", 1..=12, "month")?;
        self.literal("-")?;
        let day = self.digits(2, "02")?;
        self.literal("T")?;
        let hour = self.ranged("15", 0..=23, "hour")?;
        self.literal(":")?;
        let minute = self.ranged("04", 0..=59, "minute")?;
        self.literal(":")?;
        let second = self.ranged("05", 0..=59, "second")?;
        let nanos = if micro { self.six_digits()? } else { self.fraction() };
        let offset = self.offset()?;
        if !self.rest.is_empty() {
            let extra = go_quote(self.rest);
            return Err(format!("parsing time {}: extra text: {extra}", go_quote(self.text)));
        }
        let small = |number: i32| i8::try_from(number).unwrap_or(i8::MAX);
        let year = i16::try_from(year).unwrap_or(i16::MAX);
        let time = DateTime::new(year, small(month), small(day), small(hour), small(minute), small(second), nanos);
        let time = time.map_err(|_| self.out_of_range("day"))?;
        let ahead = SignedDuration::from_secs(offset.seconds().into());
        time.checked_sub(ahead).map_err(|_| self.out_of_range("year"))
    }

    fn out_of_range(&self, what: &str) -> String {
        format!("parsing time {}: {what} out of range", go_quote(self.text))
    }

    fn bad(&self, element: &str) -> String {
        let (text, rest) = (go_quote(self.text), go_quote(self.rest));
        format!("parsing time {text} as \"{}\": cannot parse {rest} as \"{element}\"", self.layout)
    }

    fn literal(&mut self, expect: &str) -> Result<(), String> {
        self.rest = self.rest.strip_prefix(expect).ok_or_else(|| self.bad(expect))?;
        Ok(())
    }

    fn digits(&mut self, count: usize, element: &str) -> Result<i32, String> {
        let head = self.rest.get(..count).filter(|it| it.bytes().all(|byte| byte.is_ascii_digit()));
        let number = head.and_then(|it| it.parse().ok()).ok_or_else(|| self.bad(element))?;
        self.rest = &self.rest[count..];
        Ok(number)
    }

    fn ranged(&mut self, element: &str, range: std::ops::RangeInclusive<i32>, what: &str) -> Result<i32, String> {
        let number = self.digits(2, element)?;
        range.contains(&number).then_some(number).ok_or_else(|| self.out_of_range(what))
    }

    /// The nanoseconds of a fraction, if there is one.
    fn fraction(&mut self) -> i32 {
        let Some(digits) = self.rest.strip_prefix(['.', ',']) else {
            return 0;
        };
        let count = digits.bytes().take_while(u8::is_ascii_digit).count();
        if count == 0 {
            return 0;
        }
        self.rest = &digits[count..];
        nanos(&digits[..count.min(9)])
    }

    fn six_digits(&mut self) -> Result<i32, String> {
        let digits = self.rest.strip_prefix(['.', ',']).and_then(|it| it.get(..6));
        let digits = digits.filter(|it| it.bytes().all(|byte| byte.is_ascii_digit()));
        let digits = digits.ok_or_else(|| self.bad(".000000"))?;
        self.rest = &self.rest[7..];
        Ok(nanos(digits))
    }

    fn offset(&mut self) -> Result<Offset, String> {
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Ok(Offset::UTC);
        }
        let bytes = self.rest.as_bytes();
        let two = |at: usize| self.rest.get(at..at + 2)?.parse::<i32>().ok().filter(|it| (0..60).contains(it));
        let signed = matches!(bytes.first(), Some(b'+' | b'-')) && bytes.get(3) == Some(&b':');
        let parts = signed.then(|| two(1).filter(|hours| *hours <= 24).zip(two(4))).flatten();
        let seconds = parts.map(|(hours, minutes)| (hours * 60 + minutes) * 60);
        let seconds = seconds.map(|it| if bytes[0] == b'-' { -it } else { it });
        let offset = seconds.and_then(|it| Offset::from_seconds(it).ok()).ok_or_else(|| self.bad("Z07:00"))?;
        self.rest = &self.rest[6..];
        Ok(offset)
    }
}

/// The nanoseconds of up to nine digits after the decimal point.
fn nanos(digits: &str) -> i32 {
    let scale = (digits.len()..9).fold(1, |scale, _| scale * 10);
    digits.parse::<i32>().unwrap_or_default() * scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_whole_seconds_in_utc() {
        let check = |text: &str, expect: &str| {
            assert_eq!(canonical_time(text).unwrap_or_else(|error| error), expect, "{text}");
        };
        check("2020-05-01T10:00:00Z", "2020-05-01T10:00:00Z");
        check("2020-05-01T10:00:00.999Z", "2020-05-01T10:00:00Z");
        check("2020-05-01T10:00:00+02:00", "2020-05-01T08:00:00Z");
        check("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z");
        check("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z");
        check("9999-12-31T23:59:59-01:00", r#"parsing time "9999-12-31T23:59:59-01:00": year out of range"#);
        check("x", r#"parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006""#);
        check("2020-05", r#"parsing time "2020-05" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "-""#);
        check("2020-13-01T00:00:00Z", r#"parsing time "2020-13-01T00:00:00Z": month out of range"#);
        check("2021-02-29T00:00:00Z", r#"parsing time "2021-02-29T00:00:00Z": day out of range"#);
        check(
            "2020-05-01T10:00:00",
            r#"parsing time "2020-05-01T10:00:00" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "Z07:00""#,
        );
        check("2020-05-01T10:00:00Zx", r#"parsing time "2020-05-01T10:00:00Zx": extra text: "x""#);
    }

    #[test]
    fn micro_times_have_six_digits() {
        let check = |text: &str, expect: &str| {
            assert_eq!(canonical_micro_time(text).unwrap_or_else(|error| error), expect, "{text}");
        };
        check("2020-05-01T10:00:00.500000Z", "2020-05-01T10:00:00.500000Z");
        check("2020-05-01T10:00:00.000001-01:30", "2020-05-01T11:30:00.000001Z");
        check(
            "2020-05-01T10:00:00.5Z",
            r#"parsing time "2020-05-01T10:00:00.5Z" as "2006-01-02T15:04:05.000000Z07:00": cannot parse ".5Z" as ".000000""#,
        );
        check("10:00", r#"parsing time "10:00" as "2006-01-02T15:04:05.000000Z07:00": cannot parse "10:00" as "2006""#);
    }
}
