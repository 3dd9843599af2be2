//! The syntax of schedules: five fields or a macro. Source: `github.com/robfig/cron/v3`, whose error texts these are.

/// A field: its least and greatest number, and the names of its numbers.
struct Bounds {
    least: u32,
    greatest: u32,
    names: &'static [&'static str],
}

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const MACROS: &[&str] = &["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
const FIELDS: [Bounds; 5] = [
    Bounds::new(0, 59, &[]),
    Bounds::new(0, 23, &[]),
    Bounds::new(1, 31, &[]),
    Bounds::new(1, 12, MONTHS),
    Bounds::new(0, 6, DAYS),
];

impl Bounds {
    const fn new(least: u32, greatest: u32, names: &'static [&'static str]) -> Self {
        Self { least, greatest, names }
    }

    fn number(&self, text: &str) -> Result<u32, String> {
        let lower = text.to_lowercase();
        if let Some(index) = self.names.iter().position(|name| *name == lower) {
            return Ok(self.least + u32::try_from(index).unwrap_or_default());
        }
        text.parse()
            .map_err(|_| format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: invalid syntax"))
    }

    /// One item of a list: `*`, `5`, `1-5`, `*/15`, `1-30/2`.
    fn check(&self, item: &str) -> Result<(), String> {
        let parts: Vec<&str> = item.split('/').collect();
        let ends: Vec<&str> = parts[0].split('-').collect();
        let (start, mut end) = match ends.as_slice() {
            ["*" | "?"] => (self.least, self.greatest),
            [one] => (self.number(one)?, self.number(one)?),
            [first, last] => (self.number(first)?, self.number(last)?),
            _ => return Err(format!("too many hyphens: {item}")),
        };
        let step = match parts.as_slice() {
            [_] => 1,
            [_, step] => {
                if ends.len() == 1 {
                    end = self.greatest;
                }
                step.parse::<u32>().map_err(|_| {
                    format!("failed to parse int from {step}: strconv.Atoi: parsing {step:?}: invalid syntax")
                })?
            }
            _ => return Err(format!("too many slashes: {item}")),
        };
        let (least, greatest) = (self.least, self.greatest);
        if start < least {
            return Err(format!("beginning of range ({start}) below minimum ({least}): {item}"));
        }
        if end > greatest {
            return Err(format!("end of range ({end}) above maximum ({greatest}): {item}"));
        }
        if start > end {
            return Err(format!("beginning of range ({start}) beyond end of range ({end}): {item}"));
        }
        if step == 0 {
            return Err(format!("step of range should be a positive number: {item}"));
        }
        Ok(())
    }
}

/// Says what is wrong with a schedule.
pub(super) fn check(schedule: &str) -> Result<(), String> {
    let schedule = match schedule.strip_prefix("CRON_TZ=").or_else(|| schedule.strip_prefix("TZ=")) {
        Some(rest) => rest.split_once(' ').map_or("", |(_, rest)| rest),
        None => schedule,
    };
    if schedule.starts_with('@') {
        if MACROS.contains(&schedule) || schedule.strip_prefix("@every ").is_some_and(|text| !text.is_empty()) {
            return Ok(());
        }
        return Err(format!("unrecognized descriptor: {schedule}"));
    }
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" ")));
    }
    for (field, bounds) in fields.iter().zip(&FIELDS) {
        field.split(',').try_for_each(|item| bounds.check(item))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_read_as_cron_reads_them() {
        for good in ["* * * * *", "*/15 0-6 1,15 jan-mar MON", "@hourly", "@every 1h", "TZ=UTC 0 0 * * *"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, reason) in [
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("@never", "unrecognized descriptor: @never"),
            ("x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"),
        ] {
            assert_eq!(check(bad), Err(reason.to_owned()), "{bad}");
        }
    }
}
