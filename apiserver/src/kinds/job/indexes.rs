//! Lists of indexes as jobs write them: `1,3-5,7`. Source: `validateIndexesFormat` of
//! `k8s.io/kubernetes/pkg/apis/batch/validation`.

/// One run of indexes, first and last.
type Interval = (i64, i64);

/// How many indexes the text names, all below `completions`; or why it is no list of indexes.
pub(super) fn count(text: &str, completions: i64) -> Result<i64, String> {
    let mut last: Option<i64> = None;
    let mut total = 0;
    for part in parts(text) {
        let (from, to) = interval(part, completions)?;
        if let Some(last) = last.filter(|last| *last >= from) {
            return Err(format!("non-increasing order, previous: {last}, current: {from}"));
        }
        total += to - from + 1;
        last = Some(to);
    }
    Ok(total)
}

/// The first index that both texts name; what cannot be read is left out.
pub(super) fn overlap(a: &str, b: &str, completions: i64) -> Option<i64> {
    let read = |text| parts(text).filter_map(|part| interval(part, completions).ok()).collect::<Vec<_>>();
    let (a, b) = (read(a), read(b));
    let (mut i, mut j) = (0, 0);
    while let (Some(one), Some(other)) = (a.get(i), b.get(j)) {
        if one.0 <= other.1 && other.0 <= one.1 {
            return Some(one.0.max(other.0));
        }
        if one.0 <= other.0 { i += 1 } else { j += 1 }
    }
    None
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').filter(move |_| !text.is_empty())
}

fn interval(part: &str, completions: i64) -> Result<Interval, String> {
    let limits: Vec<&str> = part.split('-').collect();
    if limits.len() > 2 {
        return Err(format!(
            "the fragment {part:?} violates the requirement that an index interval can have at most two parts separated \
             by '-'"
        ));
    }
    let index = |text: &str| match text.parse::<i64>() {
        Err(_) => Err(format!("cannot convert string to integer for index: {text:?}")),
        Ok(index) if index >= completions => Err(format!("too large index: {text:?}")),
        Ok(index) => Ok(index),
    };
    let from = index(limits[0])?;
    let to = limits.get(1).map_or(Ok(from), |text| index(text))?;
    if limits.len() > 1 && from >= to {
        return Err(format!("non-increasing order, previous: {from}, current: {to}"));
    }
    Ok((from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_indexes_rise() {
        let cases: [(&str, Result<i64, &str>); 9] = [
            ("", Ok(0)),
            ("1,3-5,7", Ok(5)),
            ("9", Ok(1)),
            ("10", Err("too large index: \"10\"")),
            ("3,3", Err("non-increasing order, previous: 3, current: 3")),
            ("5-3", Err("non-increasing order, previous: 5, current: 3")),
            ("a", Err("cannot convert string to integer for index: \"a\"")),
            ("1,", Err("cannot convert string to integer for index: \"\"")),
            (
                "1-2-3",
                Err(
                    "the fragment \"1-2-3\" violates the requirement that an index interval can have at most two parts separated by '-'",
                ),
            ),
        ];
        for (text, expect) in cases {
            assert_eq!(count(text, 10), expect.map_err(str::to_owned), "{text}");
        }
        assert_eq!(overlap("1-3,7", "4-6,7", 10), Some(7));
        assert_eq!(overlap("1-3", "4-6", 10), None);
    }
}
