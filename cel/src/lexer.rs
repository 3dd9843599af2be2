//! Tokens of CEL, and what ANTLR says about characters that make none.
//!
//! Source: `CEL.g4` of cel-go.

use crate::error::Finding;

/// The kinds of tokens, in the order in which ANTLR lists them in messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Token {
    Equals,
    NotEquals,
    In,
    Less,
    LessEquals,
    GreaterEquals,
    Greater,
    And,
    Or,
    OpenBracket,
    CloseBracket,
    OpenBrace,
    CloseBrace,
    Open,
    Close,
    Dot,
    Comma,
    Minus,
    Not,
    Question,
    Colon,
    Plus,
    Star,
    Slash,
    Percent,
    True,
    False,
    Null,
    Float,
    Int,
    Uint,
    Text,
    Bytes,
    Ident,
    EscapedIdent,
    End,
}

/// The names of the tokens in messages, by kind.
const NAMES: [&str; 36] = [
    "'=='",
    "'!='",
    "'in'",
    "'<'",
    "'<='",
    "'>='",
    "'>'",
    "'&&'",
    "'||'",
    "'['",
    "']'",
    "'{'",
    "'}'",
    "'('",
    "')'",
    "'.'",
    "','",
    "'-'",
    "'!'",
    "'?'",
    "':'",
    "'+'",
    "'*'",
    "'/'",
    "'%'",
    "'true'",
    "'false'",
    "'null'",
    "NUM_FLOAT",
    "NUM_INT",
    "NUM_UINT",
    "STRING",
    "BYTES",
    "IDENTIFIER",
    "ESC_IDENTIFIER",
    "<EOF>",
];

/// Longest first.
const SYMBOLS: &[(&str, Token)] = &[
    ("==", Token::Equals),
    ("!=", Token::NotEquals),
    ("<=", Token::LessEquals),
    (">=", Token::GreaterEquals),
    ("&&", Token::And),
    ("||", Token::Or),
    ("<", Token::Less),
    (">", Token::Greater),
    ("[", Token::OpenBracket),
    ("]", Token::CloseBracket),
    ("{", Token::OpenBrace),
    ("}", Token::CloseBrace),
    ("(", Token::Open),
    (")", Token::Close),
    (".", Token::Dot),
    (",", Token::Comma),
    ("-", Token::Minus),
    ("!", Token::Not),
    ("?", Token::Question),
    (":", Token::Colon),
    ("+", Token::Plus),
    ("*", Token::Star),
    ("/", Token::Slash),
    ("%", Token::Percent),
];

impl Token {
    pub(crate) fn name(self) -> &'static str {
        NAMES[self as usize]
    }
}

/// A token with its text and its place: the first character's and the one's after the last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lexeme<'a> {
    pub(crate) token: Token,
    pub(crate) text: &'a str,
    pub(crate) offset: usize,
    /// In bytes.
    pub(crate) start: usize,
}

pub(crate) fn lex<'a>(source: &'a str, findings: &mut Vec<Finding>) -> Vec<Lexeme<'a>> {
    let mut lexemes = Vec::new();
    let mut rest = source;
    let mut offset = 0;
    while !rest.is_empty() {
        let start = source.len() - rest.len();
        let (length, token) = match next(rest) {
            Next::Hidden(length) => (length, None),
            Next::Token(length, token) => (length, Some(token)),
            Next::Wrong(length) => {
                let message = format!("Syntax error: token recognition error at: '{}'", shown(&rest[..length]));
                findings.push(Finding { offset, message });
                (length, None)
            }
        };
        let (text, after) = rest.split_at(length);
        lexemes.extend(token.map(|token| Lexeme { token, text, offset, start }));
        offset += text.chars().count();
        rest = after;
    }
    lexemes.push(Lexeme { token: Token::End, text: "<EOF>", offset, start: source.len() });
    lexemes
}

fn shown(text: &str) -> String {
    text.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t")
}

enum Next {
    Hidden(usize),
    Token(usize, Token),
    /// Nothing can begin so; these bytes are skipped.
    Wrong(usize),
}

fn next(rest: &str) -> Next {
    let spaces = span(rest, |it| matches!(it, ' ' | '\t' | '\r' | '\n' | '\u{c}'));
    if spaces > 0 {
        return Next::Hidden(spaces);
    }
    if rest.starts_with("//") {
        return Next::Hidden(rest.find('\n').unwrap_or(rest.len()));
    }
    if let Some(string) = string(rest) {
        return string;
    }
    let first = rest.chars().next().unwrap_or_default();
    if first.is_ascii_digit() || (first == '.' && rest[1..].starts_with(|it: char| it.is_ascii_digit())) {
        return number(rest);
    }
    if first.is_ascii_alphabetic() || first == '_' {
        let length = span(rest, |it| it.is_ascii_alphanumeric() || it == '_');
        return Next::Token(length, word(&rest[..length]));
    }
    if first == '`' {
        let length = span(&rest[1..], |it| it.is_ascii_alphanumeric() || "_.-/ ".contains(it));
        return match rest[1 + length..].chars().next() {
            Some('`') if length > 0 => Next::Token(length + 2, Token::EscapedIdent),
            other => Next::Wrong(1 + length + other.map_or(0, char::len_utf8)),
        };
    }
    match SYMBOLS.iter().find(|(symbol, _)| rest.starts_with(symbol)) {
        Some((symbol, token)) => Next::Token(symbol.len(), *token),
        // The first half of a symbol takes the character after it along.
        None if matches!(first, '=' | '&' | '|') => Next::Wrong(1 + rest[1..].chars().next().map_or(0, char::len_utf8)),
        None => Next::Wrong(first.len_utf8()),
    }
}

fn span(text: &str, accepts: impl Fn(char) -> bool) -> usize {
    text.find(|it| !accepts(it)).unwrap_or(text.len())
}

fn word(text: &str) -> Token {
    match text {
        "in" => Token::In,
        "true" => Token::True,
        "false" => Token::False,
        "null" => Token::Null,
        _ => Token::Ident,
    }
}

fn number(rest: &str) -> Next {
    let digit = |it: char| it.is_ascii_digit();
    if let Some(hex) = rest.strip_prefix("0x") {
        let length = span(hex, |it| it.is_ascii_hexdigit());
        if length > 0 {
            return unsigned(rest, 2 + length);
        }
    }
    let whole = span(rest, digit);
    let fraction = rest[whole..].strip_prefix('.').map_or(0, |it| span(it, digit));
    let mut length = if fraction > 0 { whole + 1 + fraction } else { whole };
    let mut float = fraction > 0;
    if let Some(exponent) = rest[length..].strip_prefix(['e', 'E']) {
        let sign = usize::from(exponent.starts_with(['+', '-']));
        let digits = span(&exponent[sign..], digit);
        if digits > 0 {
            length += 1 + sign + digits;
            float = true;
        }
    }
    if float { Next::Token(length, Token::Float) } else { unsigned(rest, length) }
}

fn unsigned(rest: &str, length: usize) -> Next {
    match rest[length..].starts_with(['u', 'U']) {
        true => Next::Token(length + 1, Token::Uint),
        false => Next::Token(length, Token::Int),
    }
}

/// A string with its prefix, if one begins here.
fn string(rest: &str) -> Option<Next> {
    let prefix = span(rest, |it| matches!(it, 'r' | 'R' | 'b' | 'B'));
    let letters = rest[..prefix].to_ascii_lowercase();
    if !matches!(letters.as_str(), "" | "r" | "b" | "br") {
        return None;
    }
    let body = &rest[prefix..];
    let quote = body.chars().next().filter(|it| matches!(it, '"' | '\''))?;
    let token = if letters.starts_with('b') { Token::Bytes } else { Token::Text };
    let raw = letters.ends_with('r');
    let triple: String = std::iter::repeat_n(quote, 3).collect();
    if body.starts_with(&triple)
        && let Ok(length) = end(&body[3..], &triple, raw, true)
    {
        return Some(Next::Token(prefix + 3 + length + 3, token));
    }
    Some(match end(&body[1..], &triple[..1], raw, false) {
        Ok(length) => Next::Token(prefix + 1 + length + 1, token),
        Err(length) => Next::Wrong(prefix + 1 + length),
    })
}

/// The bytes before the closing quote, or those that can't belong to a string.
fn end(body: &str, quote: &str, raw: bool, lines: bool) -> Result<usize, usize> {
    let mut at = 0;
    loop {
        let rest = &body[at..];
        if rest.starts_with(quote) {
            return Ok(at);
        }
        let Some(first) = rest.chars().next() else { return Err(at) };
        if !lines && matches!(first, '\n' | '\r') {
            return Err(at + 1);
        }
        at += first.len_utf8();
        if first == '\\' && !raw {
            at += escape_length(&body[at..]).map_err(|length| at + length)?;
        }
    }
}

/// The bytes after a backslash that belong to it.
fn escape_length(rest: &str) -> Result<usize, usize> {
    let first = rest.chars().next().ok_or(0_usize)?;
    let digits = |count: usize, accepts: fn(char) -> bool| {
        let have = rest.chars().skip(1).take(count).take_while(|it| accepts(*it)).count();
        if have == count { Ok(1 + count) } else { Err((1 + have + 1).min(rest.len())) }
    };
    match first {
        'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '"' | '\'' | '\\' | '?' | '`' => Ok(1),
        'x' | 'X' => digits(2, |it| it.is_ascii_hexdigit()),
        'u' => digits(4, |it| it.is_ascii_hexdigit()),
        'U' => digits(8, |it| it.is_ascii_hexdigit()),
        '0'..='3' => digits(2, |it| ('0'..='7').contains(&it)),
        other => Err(other.len_utf8()),
    }
    .map_err(|length| (length..=rest.len()).find(|at| rest.is_char_boundary(*at)).unwrap_or(rest.len()))
}
