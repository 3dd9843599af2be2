//! Why a text is no regular expression, in the words of Go's `regexp`: some of upstream's messages contain them.
//! Source: Go's `regexp/syntax` with the flags of `regexp.Compile`.

/// The text of Go's error for a pattern, `error parsing regexp: missing closing ): ...`; `None` if nothing is found.
/// The names of Unicode classes are not looked at.
pub fn fault(pattern: &str) -> Option<String> {
    let mut parser = Parser { whole: pattern, at: 0, groups: 0, repeatable: false, names: Vec::new() };
    let (code, expression) = parser.run().err()?;
    Some(format!("error parsing regexp: {code}: `{expression}`"))
}

type Fault<'a> = (&'static str, &'a str);

const MISSING_PAREN: &str = "missing closing )";
const MISSING_BRACKET: &str = "missing closing ]";
const UNEXPECTED_PAREN: &str = "unexpected )";
const MISSING_ARGUMENT: &str = "missing argument to repetition operator";
const NESTED_REPETITION: &str = "invalid nested repetition operator";
const BAD_COUNT: &str = "invalid repeat count";
const BAD_RANGE: &str = "invalid character class range";
const BAD_ESCAPE: &str = "invalid escape sequence";
const BAD_PERL: &str = "invalid or unsupported Perl syntax";
const BAD_NAME: &str = "invalid named capture";
const TRAILING_BACKSLASH: &str = "trailing backslash at end of expression";

const POSIX_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];
/// The greatest number of repetitions.
const MOST: u32 = 1000;

struct Parser<'a> {
    whole: &'a str,
    at: usize,
    /// How many groups are open.
    groups: usize,
    /// Whether there is something that a repetition operator would repeat.
    repeatable: bool,
    names: Vec<&'a str>,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.whole[self.at..]
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn starts(&self, text: &str) -> bool {
        self.rest().starts_with(text)
    }

    fn since(&self, start: usize) -> &'a str {
        &self.whole[start..self.at]
    }

    fn run(&mut self) -> Result<(), Fault<'a>> {
        let mut last_repetition = None;
        while let Some(c) = self.rest().chars().next() {
            let start = self.at;
            let mut repetition = None;
            match c {
                '(' if self.starts("(?") => self.flags()?,
                '(' => {
                    self.at += 1;
                    self.open();
                }
                '|' => {
                    self.at += 1;
                    self.repeatable = false;
                }
                ')' => {
                    self.at += 1;
                    self.groups = self.groups.checked_sub(1).ok_or((UNEXPECTED_PAREN, self.whole))?;
                    self.repeatable = true;
                }
                '*' | '+' | '?' => {
                    self.at += 1;
                    self.repeat(start, last_repetition)?;
                    repetition = Some(start);
                }
                '{' if self.count()? => {
                    self.repeat(start, last_repetition)?;
                    repetition = Some(start);
                }
                _ => self.operand(c)?,
            }
            last_repetition = repetition;
        }
        if self.groups == 0 { Ok(()) } else { Err((MISSING_PAREN, self.whole)) }
    }

    fn open(&mut self) {
        self.groups += 1;
        self.repeatable = false;
    }

    fn operand(&mut self, c: char) -> Result<(), Fault<'a>> {
        self.repeatable = true;
        match c {
            '[' => self.class(),
            '\\' if self.starts("\\Q") => {
                let end = self.rest().find("\\E").map_or(self.whole.len(), |end| self.at + end + 2);
                self.at = end;
                Ok(())
            }
            '\\' if ["\\A", "\\b", "\\B", "\\z"].iter().any(|it| self.starts(it)) => {
                self.at += 2;
                Ok(())
            }
            '\\' if self.named_class()? => Ok(()),
            '\\' => self.escape().map(drop),
            _ => {
                self.next();
                Ok(())
            }
        }
    }

    /// After a repetition operator that began at `start`.
    fn repeat(&mut self, start: usize, last: Option<usize>) -> Result<(), Fault<'a>> {
        if self.starts("?") {
            self.at += 1;
        }
        match last {
            Some(last) => Err((NESTED_REPETITION, self.since(last))),
            None if !self.repeatable => Err((MISSING_ARGUMENT, self.since(start))),
            None => Ok(()),
        }
    }

    /// Reads `{2}`, `{2,}` or `{2,5}`; anything else is not a repetition.
    fn count(&mut self) -> Result<bool, Fault<'a>> {
        let Some((inner, _)) = self.rest()[1..].split_once('}') else {
            return Ok(false);
        };
        let (least, most) = inner
            .split_once(',')
            .map_or((inner, Some(inner)), |(least, most)| (least, Some(most).filter(|most| !most.is_empty())));
        let is_number = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            digits && !text.is_empty() && (text.len() == 1 || !text.starts_with('0'))
        };
        if !is_number(least) || most.is_some_and(|most| !is_number(most)) {
            return Ok(false);
        }
        let start = self.at;
        self.at += inner.len() + 2;
        let number = |text: &str| text.parse().unwrap_or(u32::MAX);
        let (least, most) = (number(least), most.map(number));
        if least > MOST || most.is_some_and(|most| most > MOST || least > most) {
            return Err((BAD_COUNT, self.since(start)));
        }
        Ok(true)
    }

    /// `(?i)`, `(?i:`, `(?:`, `(?P<name>`, `(?<name>`.
    fn flags(&mut self) -> Result<(), Fault<'a>> {
        let start = self.at;
        let named = ["(?P<", "(?<"].into_iter().find(|it| self.starts(it) && self.rest().len() > it.len());
        if let Some(head) = named {
            let end = self.rest().find('>').ok_or((BAD_NAME, self.rest()))?;
            let name = &self.rest()[head.len()..end];
            self.at += end + 1;
            let fits = !name.is_empty() && name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_');
            if !fits || self.names.contains(&name) {
                return Err((BAD_NAME, self.since(start)));
            }
            self.names.push(name);
            self.open();
            return Ok(());
        }
        self.at += 2;
        let (mut negated, mut seen) = (false, false);
        while let Some(c) = self.next() {
            match c {
                'i' | 'm' | 's' | 'U' => seen = true,
                '-' if !negated => (negated, seen) = (true, false),
                ':' | ')' if !negated || seen => {
                    if c == ':' {
                        self.open();
                    }
                    return Ok(());
                }
                _ => break,
            }
        }
        Err((BAD_PERL, self.since(start)))
    }

    /// `\d` and its like, and `\pN` or `\p{Greek}`; false if it is none of them.
    fn named_class(&mut self) -> Result<bool, Fault<'a>> {
        let mut chars = self.rest().chars().skip(1);
        match chars.next() {
            Some('d' | 'D' | 's' | 'S' | 'w' | 'W') => self.at += 2,
            Some('p' | 'P') => match chars.next() {
                None => return Ok(false),
                Some('{') => self.at += self.rest().find('}').ok_or((BAD_RANGE, self.rest()))? + 1,
                Some(c) => self.at += 2 + c.len_utf8(),
            },
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn class(&mut self) -> Result<(), Fault<'a>> {
        let start = self.at;
        self.at += if self.starts("[^") { 2 } else { 1 };
        let mut first = true;
        while first || !self.starts("]") {
            first = false;
            if self.posix_class()? || (self.starts("\\") && self.named_class()?) {
                continue;
            }
            let range = self.at;
            let low = self.class_char(start)?;
            if self.starts("-") && self.rest().len() > 1 && !self.starts("-]") {
                self.at += 1;
                if self.class_char(start)? < low {
                    return Err((BAD_RANGE, self.since(range)));
                }
            }
        }
        self.at += 1;
        Ok(())
    }

    fn posix_class(&mut self) -> Result<bool, Fault<'a>> {
        let end = if self.starts("[:") { self.rest()[2..].find(":]") } else { None };
        let Some(end) = end else { return Ok(false) };
        let (start, name) = (self.at, &self.rest()[2..2 + end]);
        self.at += end + 4;
        match POSIX_CLASSES.contains(&name.strip_prefix('^').unwrap_or(name)) {
            true => Ok(true),
            false => Err((BAD_RANGE, self.since(start))),
        }
    }

    fn class_char(&mut self, class: usize) -> Result<char, Fault<'a>> {
        if self.starts("\\") {
            return self.escape();
        }
        self.next().ok_or((MISSING_BRACKET, &self.whole[class..]))
    }

    /// The character that an escape stands for.
    fn escape(&mut self) -> Result<char, Fault<'a>> {
        let start = self.at;
        self.at += 1;
        let bad = |parser: &Self| (BAD_ESCAPE, parser.since(start));
        let octal = |parser: &Self| parser.rest().bytes().next().is_some_and(|it| (b'0'..=b'7').contains(&it));
        match self.next().ok_or((TRAILING_BACKSLASH, ""))? {
            // A reference back.
            '1'..='7' if !octal(self) => Err(bad(self)),
            c @ '0'..='7' => {
                let mut code = u32::from(c) - u32::from('0');
                for _ in 0..2 {
                    if octal(self) {
                        code = code * 8 + self.next().and_then(|it| it.to_digit(8)).unwrap_or_default();
                    }
                }
                char::from_u32(code).ok_or_else(|| bad(self))
            }
            'x' => self.hexadecimal(start),
            'a' => Ok('\x07'),
            'f' => Ok('\x0c'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            'v' => Ok('\x0b'),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Ok(c),
            _ => Err(bad(self)),
        }
    }

    /// `\x7F` or `\x{10FFFF}`.
    fn hexadecimal(&mut self, start: usize) -> Result<char, Fault<'a>> {
        let braced = self.starts("{");
        self.at += usize::from(braced);
        let (mut code, mut digits) = (0_u32, 0);
        while let Some(c) = self.next() {
            match c.to_digit(16) {
                Some(digit) => (code, digits) = (code.saturating_mul(16).saturating_add(digit), digits + 1),
                None if braced && c == '}' && digits > 0 => {
                    return char::from_u32(code).ok_or((BAD_ESCAPE, self.since(start)));
                }
                None => break,
            }
            if !braced && digits == 2 {
                return char::from_u32(code).ok_or((BAD_ESCAPE, self.since(start)));
            }
        }
        Err((BAD_ESCAPE, self.since(start)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_in_gos_words() {
        for (pattern, expect) in [
            ("(", "missing closing ): `(`"),
            ("a(b", "missing closing ): `a(b`"),
            ("a)b", "unexpected ): `a)b`"),
            ("a[b", "missing closing ]: `[b`"),
            ("[]", "missing closing ]: `[]`"),
            ("[z-a]", "invalid character class range: `z-a`"),
            ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
            (r"\p{Greek", r"invalid character class range: `\p{Greek`"),
            ("*", "missing argument to repetition operator: `*`"),
            ("a|+?", "missing argument to repetition operator: `+?`"),
            ("(?:*)", "missing argument to repetition operator: `*`"),
            ("{2}", "missing argument to repetition operator: `{2}`"),
            ("a**", "invalid nested repetition operator: `**`"),
            ("a{2}{3}?", "invalid nested repetition operator: `{2}{3}?`"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("a{5,1}", "invalid repeat count: `{5,1}`"),
            (r"a\", "trailing backslash at end of expression: ``"),
            (r"\q", r"invalid escape sequence: `\q`"),
            (r"(a)\1", r"invalid escape sequence: `\1`"),
            (r"\Z", r"invalid escape sequence: `\Z`"),
            (r"\xG", r"invalid escape sequence: `\xG`"),
            ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
            ("(?!a)", "invalid or unsupported Perl syntax: `(?!`"),
            ("(?<=a)", "invalid named capture: `(?<=a)`"),
            ("(?P<n>a)(?P<n>b)", "invalid named capture: `(?P<n>`"),
        ] {
            assert_eq!(fault(pattern), Some(format!("error parsing regexp: {expect}")), "{pattern}");
        }
    }

    #[test]
    fn what_is_a_regular_expression_has_no_fault() {
        for pattern in [
            "",
            "a|b",
            "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
            r"\d+\.\w{2,}?",
            "a{",
            "a{,2}",
            "a{x}",
            "[]a]",
            "[^]a-]",
            "[a-]",
            r"[\d\-\]]",
            "[[:alpha:][:^digit:]]",
            r"(?i)a(?-s:b)(?P<n>c)(?<m>d)",
            r"\Q(*\E*",
            r"\x{10FFFF}\x7F\012\0",
            r"\pN\p{Greek}",
            "^*",
            "()*",
            "日本+",
        ] {
            assert_eq!(fault(pattern), None, "{pattern}");
        }
    }
}
