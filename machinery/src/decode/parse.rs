//! The JSON parser: values, Go's syntax errors, and on the way what is wrong with the fields.

use std::fmt::Write;

use serde_json::{Map, Number, Value};

use super::{MAX_DEPTH, MAX_PROBLEMS, ObjectCount, SyntaxError};
use crate::field::told;
use crate::schema::{Type, TypeRef};

/// What to look for while parsing a value.
#[derive(Clone, Copy)]
pub(super) enum Watch<'a> {
    /// The paths of duplicate keys.
    Paths,
    /// Duplicate keys, as problems.
    Duplicates,
    /// Duplicate keys and fields that the type does not have, as problems.
    Typed(TypeRef<'a>),
    /// Nothing: the value is not looked into.
    Nothing,
}

impl<'a> Watch<'a> {
    /// The paths of duplicate keys.
    pub(super) fn duplicates() -> Self {
        Self::Paths
    }

    /// Problems with a value of that type.
    pub(super) fn typed(ty: TypeRef<'a>) -> Self {
        match ty.ty() {
            Type::Struct(_) | Type::List(_) | Type::Map(_) => Self::Typed(ty),
            Type::FreeForm => Self::Duplicates,
            // Types that parse themselves are not looked into.
            _ => Self::Nothing,
        }
    }

    fn item(self) -> Self {
        match self {
            Self::Typed(ty) => ty.items().map_or(Self::Nothing, Self::typed),
            other => other,
        }
    }

    /// For the value of a key; `None` if the type has no such field.
    fn member(self, key: &str) -> Option<Self> {
        match self {
            Self::Typed(ty) if ty.items().is_some() => Some(Self::Nothing),
            Self::Typed(ty) => ty.member(key).map(Self::typed),
            other => Some(other),
        }
    }
}

/// Parses a document; returns it with what was found.
pub(super) fn run(bytes: &[u8], watch: Watch<'_>) -> Result<(Value, Vec<String>), SyntaxError> {
    let mut parser =
        Parser { bytes, at: 0, depth: 0, path: String::new(), problems: Vec::new(), objects: ObjectCount::default() };
    let value = parser.value(watch)?;
    parser.skip_space();
    match parser.peek() {
        None => Ok((value, parser.problems)),
        Some(_) => Err(parser.unexpected("after top-level value")),
    }
}

/// Adds `[index]` to a path.
pub(super) fn push_index(path: &mut String, index: usize) {
    write!(path, "[{index}]").expect("a text takes all that is written");
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    path: String,
    problems: Vec<String>,
    objects: ObjectCount,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// The error about the byte at the present position, or about the end.
    fn unexpected(&self, context: &str) -> SyntaxError {
        SyntaxError(match self.peek() {
            None => "unexpected end of JSON input".to_owned(),
            Some(byte) => format!("invalid character {} {context}", quote(byte)),
        })
    }

    fn enter(&mut self) -> Result<(), SyntaxError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(SyntaxError("exceeded max depth".to_owned()));
        }
        self.at += 1;
        Ok(())
    }

    fn value(&mut self, watch: Watch<'_>) -> Result<Value, SyntaxError> {
        self.skip_space();
        match self.peek() {
            Some(b'{') => self.object(watch),
            Some(b'[') => self.array(watch),
            Some(b'"') => self.string().map(Value::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true", Value::Bool(true)),
            Some(b'f') => self.literal("false", Value::Bool(false)),
            Some(b'n') => self.literal("null", Value::Null),
            _ => Err(self.unexpected("looking for beginning of value")),
        }
    }

    fn literal(&mut self, word: &str, value: Value) -> Result<Value, SyntaxError> {
        for expect in word.bytes() {
            if self.peek() != Some(expect) {
                let context = format!("in literal {word} (expecting {})", quote(expect));
                return Err(self.unexpected(&context));
            }
            self.at += 1;
        }
        Ok(value)
    }

    fn array(&mut self, watch: Watch<'_>) -> Result<Value, SyntaxError> {
        self.enter()?;
        let mut items = Vec::new();
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            self.depth -= 1;
            return Ok(Value::Array(items));
        }
        let parent = self.path.len();
        loop {
            push_index(&mut self.path, items.len());
            items.push(self.value(watch.item())?);
            self.path.truncate(parent);
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.unexpected("after array element")),
            }
        }
        self.at += 1;
        self.depth -= 1;
        Ok(Value::Array(items))
    }

    fn object(&mut self, watch: Watch<'_>) -> Result<Value, SyntaxError> {
        const KEY: &str = "looking for beginning of object key string";
        self.enter()?;
        let mut map = Map::new();
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            self.depth -= 1;
            return Ok(Value::Object(map));
        }
        let parent = self.path.len();
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return Err(self.unexpected(KEY));
            }
            let key = self.string()?;
            self.skip_space();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("after object key"));
            }
            self.at += 1;
            if parent > 0 {
                self.path.push('.');
            }
            self.path.push_str(&key);
            let inner = self.watch_key(watch, map.contains_key(&key), &key);
            let value = self.value(inner)?;
            self.path.truncate(parent);
            map.insert(key, value);
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.unexpected("after object key:value pair")),
            }
        }
        self.at += 1;
        self.depth -= 1;
        self.objects.add(&map).map_err(|why| SyntaxError(why.to_owned()))?;
        Ok(Value::Object(map))
    }

    /// Reports what is wrong with the key at the end of the path; returns what to look for in its value.
    fn watch_key<'a>(&mut self, watch: Watch<'a>, seen: bool, key: &str) -> Watch<'a> {
        let Some(inner) = watch.member(key) else {
            self.report(|path| format!("unknown field \"{path}\""));
            return Watch::Nothing;
        };
        match watch {
            Watch::Paths if seen => self.report(str::to_owned),
            Watch::Duplicates | Watch::Typed(_) if seen => self.report(|path| format!("duplicate field \"{path}\"")),
            _ => {}
        }
        inner
    }

    fn report(&mut self, problem: impl Fn(&str) -> String) {
        // A path may be long, and is not looked at for nothing.
        if self.problems.len() >= MAX_PROBLEMS {
            return;
        }
        let problem = problem(told(&self.path));
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    fn number(&mut self) -> Result<Value, SyntaxError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.skip_digits(),
            _ => return Err(self.unexpected("in numeric literal")),
        }
        let mut whole = true;
        if self.peek() == Some(b'.') {
            whole = false;
            self.at += 1;
            self.need_digits("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            whole = false;
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.need_digits("in exponent of numeric literal")?;
        }
        let text = std::str::from_utf8(&self.bytes[start..self.at]).expect("digits are ASCII");
        if whole && let Ok(number) = text.parse::<i64>() {
            return Ok(number.into());
        }
        if whole && let Ok(number) = text.parse::<u64>() {
            return Ok(number.into());
        }
        let number = text.parse::<f64>().ok().and_then(Number::from_f64);
        let too_large = || SyntaxError(format!("json: cannot unmarshal number {text} into Go value of type float64"));
        number.map(Value::Number).ok_or_else(too_large)
    }

    fn skip_digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn need_digits(&mut self, context: &str) -> Result<(), SyntaxError> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.unexpected(context));
        }
        self.skip_digits();
        Ok(())
    }

    fn string(&mut self) -> Result<String, SyntaxError> {
        self.at += 1;
        let mut text = String::new();
        loop {
            let start = self.at;
            while self.peek().is_some_and(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
                self.at += 1;
            }
            // Bytes that are no UTF-8 become U+FFFD, as in Go.
            text.push_str(&String::from_utf8_lossy(&self.bytes[start..self.at]));
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    self.at += 1;
                    text.push(self.escape()?);
                }
                _ => return Err(self.unexpected("in string literal")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, SyntaxError> {
        let escaped = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                let unit = self.hex4()?;
                return Ok(self.complete(unit));
            }
            _ => return Err(self.unexpected("in string escape code")),
        };
        self.at += 1;
        Ok(escaped)
    }

    fn hex4(&mut self) -> Result<u32, SyntaxError> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let digit = digit.ok_or_else(|| self.unexpected("in \\u hexadecimal character escape"))?;
            unit = unit * 16 + digit;
            self.at += 1;
        }
        Ok(unit)
    }

    /// The character of a UTF-16 unit; takes the second half of a pair from the input. A lone half becomes U+FFFD.
    fn complete(&mut self, unit: u32) -> char {
        if (0xD800..0xDC00).contains(&unit) && self.bytes[self.at..].starts_with(b"\\u") {
            let back = self.at;
            self.at += 2;
            match self.hex4() {
                Ok(low @ 0xDC00..0xE000) => {
                    let c = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
                    return char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER);
                }
                // Not a second half, or not an escape at all: to be read (and complained about) by itself.
                _ => self.at = back,
            }
        }
        char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)
    }
}

/// A byte as Go's JSON errors show it.
fn quote(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        byte => {
            let quoted = crate::field::go_quote(&char::from(byte).to_string());
            format!("'{}'", &quoted[1..quoted.len() - 1])
        }
    }
}
