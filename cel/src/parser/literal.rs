//! The values that literals stand for.

use std::sync::Arc;

use crate::ast::Literal;
use crate::lexer::Token;

/// The literal, or what is wrong with it.
pub(super) fn literal(token: Token, text: &str, negative: bool) -> Result<Literal, String> {
    Ok(match token {
        Token::True => Literal::Bool(true),
        Token::False => Literal::Bool(false),
        Token::Null => Literal::Null,
        Token::Int => Literal::Int(int(text, negative).ok_or("invalid int literal")?),
        Token::Uint => Literal::Uint(uint(text.trim_end_matches(['u', 'U'])).ok_or("invalid uint literal")?),
        Token::Float => {
            let value: f64 = text.parse().map_err(|_| "invalid double literal")?;
            if value.is_infinite() {
                return Err("invalid double literal".to_owned());
            }
            Literal::Double(if negative { -value } else { value })
        }
        Token::Bytes => Literal::Bytes(unescape(&text[1..], true)?.into()),
        _ => {
            let bytes = unescape(text, false)?;
            Literal::Text(Arc::from(String::from_utf8(bytes).map_err(|_| "invalid UTF-8 in a string literal")?))
        }
    })
}

fn uint(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

fn int(text: &str, negative: bool) -> Option<i64> {
    let value = i128::from(uint(text)?);
    i64::try_from(if negative { -value } else { value }).ok()
}

/// The bytes of a string with its quotes and perhaps an `r` before them.
fn unescape(text: &str, bytes: bool) -> Result<Vec<u8>, String> {
    let raw = text.starts_with(['r', 'R']);
    let quoted = if raw { &text[1..] } else { text };
    let triple = quoted.len() >= 6 && (quoted.starts_with("\"\"\"") || quoted.starts_with("'''"));
    let quotes = if triple { 3 } else { 1 };
    let body = &quoted[quotes..quoted.len() - quotes];
    let mut result = Vec::with_capacity(body.len());
    let mut characters = body.chars();
    while let Some(character) = characters.next() {
        if character != '\\' || raw {
            result.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let escaped = characters.next().ok_or("unable to unescape string, found '\\' as last character")?;
        let mut code = |digits: usize, radix: u32, first: Option<char>| {
            let digits: String = first.into_iter().chain(characters.by_ref().take(digits)).collect();
            u32::from_str_radix(&digits, radix).map_err(|_| "unable to unescape string".to_owned())
        };
        let (code, byte) = match escaped {
            'a' => (7, false),
            'b' => (8, false),
            'f' => (12, false),
            'n' => (10, false),
            'r' => (13, false),
            't' => (9, false),
            'v' => (11, false),
            'x' | 'X' => (code(2, 16, None)?, bytes),
            'u' | 'U' if bytes => return Err("unable to unescape string".to_owned()),
            'u' => (code(4, 16, None)?, false),
            'U' => (code(8, 16, None)?, false),
            '0'..='3' => (code(2, 8, Some(escaped))?, bytes),
            other => (u32::from(other), false),
        };
        match (byte, char::from_u32(code)) {
            (true, _) => result.push(code as u8),
            (false, Some(character)) => result.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            (false, None) => return Err("invalid unicode code point".to_owned()),
        }
    }
    Ok(result)
}
