//! Bytes in base64, with the offset of a fault as Go reports it.

/// Brings base64 into canonical form: no line breaks.
///
/// # Errors
/// The offset of the byte at fault, as Go's `encoding/base64` counts it.
pub(super) fn canonical(text: &str) -> Result<String, usize> {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    loop {
        // One group of four characters.
        let start = out.len();
        while out.len() - start < 4 {
            let have = out.len() - start;
            let Some(&byte) = bytes.get(at) else {
                return if have == 0 { Ok(out) } else { Err(at - have) };
            };
            at += 1;
            match byte {
                b'\n' | b'\r' => {}
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' => out.push(char::from(byte)),
                b'=' if have >= 2 => return padding(bytes, at, out, have),
                _ => return Err(at - 1),
            }
        }
    }
}

/// Reads on after the first `=`.
fn padding(bytes: &[u8], mut at: usize, mut out: String, have: usize) -> Result<String, usize> {
    let skip = |at: &mut usize| {
        while matches!(bytes.get(*at), Some(b'\n' | b'\r')) {
            *at += 1;
        }
    };
    out.push('=');
    if have == 2 {
        skip(&mut at);
        match bytes.get(at) {
            None => return Err(bytes.len()),
            Some(b'=') => at += 1,
            Some(_) => return Err(at - 1),
        }
        out.push('=');
    }
    skip(&mut at);
    if at < bytes.len() { Err(at) } else { Ok(out) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_where_go_finds_them() {
        assert_eq!(canonical(""), Ok(String::new()));
        assert_eq!(canonical("YWI="), Ok("YWI=".to_owned()));
        assert_eq!(canonical("YW\nJj\r\n"), Ok("YWJj".to_owned()));
        assert_eq!(canonical("not base64!"), Err(3));
        assert_eq!(canonical("%%%"), Err(0));
        assert_eq!(canonical("YWJ"), Err(0));
        assert_eq!(canonical("YW=="), Ok("YW==".to_owned()));
        assert_eq!(canonical("YW="), Err(3));
        assert_eq!(canonical("Y==="), Err(1));
        assert_eq!(canonical("YWI=YWI="), Err(4));
    }
}
