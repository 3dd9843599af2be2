//! Just enough of Rust's grammar to find functions and test code: comments and literals are blanked out, then braces are
//! matched.

/// A Rust file.
pub(super) struct Source {
    /// The text with comments and the contents of literals replaced by spaces; the same lines as the original.
    code: Vec<u8>,
    /// For each line, whether it belongs to test code.
    is_test: Vec<bool>,
}

/// A function of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    /// Its name.
    pub(super) name: String,
    /// The line where it begins, counted from 1.
    pub(super) line: usize,
    /// How many lines it has, signature and braces included.
    pub(super) lines: usize,
}

impl Source {
    /// Reads a file that rustc accepts; of anything else it makes what it can.
    pub(super) fn parse(text: &str) -> Self {
        let code = blank(text.as_bytes());
        let mut source = Self { is_test: vec![false; text.lines().count()], code };
        source.mark_tests();
        source
    }

    /// How many lines are not test code.
    pub(super) fn production_lines(&self) -> usize {
        self.is_test.iter().filter(|is_test| !**is_test).count()
    }

    /// The functions that are not test code and have a body.
    pub(super) fn functions(&self) -> Vec<Function> {
        let mut functions = Vec::new();
        for start in self.positions_of(b"fn ") {
            let line = self.line_of(start);
            let Some(end) = self.end_of_item(start) else { continue };
            if self.code[end] == b'}' && !self.is_test[line] {
                functions.push(Function {
                    name: identifier(&self.code[start + 3..]),
                    line: line + 1,
                    lines: self.line_of(end) - line + 1,
                });
            }
        }
        functions
    }

    /// Marks the lines of every item that stands behind `#[cfg(test)]`.
    fn mark_tests(&mut self) {
        for start in self.positions_of(b"#[cfg(test)]") {
            let from = self.line_of(start);
            let end = self.end_of_item(start + b"#[cfg(test)]".len());
            let to = self.line_of(end.unwrap_or(self.code.len()));
            for line in from..=to.min(self.is_test.len().saturating_sub(1)) {
                self.is_test[line] = true;
            }
        }
    }

    /// Where `word` stands and is not the end of a longer word.
    fn positions_of(&self, word: &[u8]) -> Vec<usize> {
        let windows = self.code.windows(word.len()).enumerate();
        windows
            .filter(|(at, window)| *window == word && (*at == 0 || !is_word(self.code[at - 1])))
            .map(|(at, _)| at)
            .collect()
    }

    fn line_of(&self, at: usize) -> usize {
        self.code[..at].iter().filter(|byte| **byte == b'\n').count()
    }

    /// The end of the item that begins at `start`: a `;` outside of brackets, or the brace that closes its body.
    fn end_of_item(&self, start: usize) -> Option<usize> {
        let mut depth = 0_usize;
        for (at, byte) in self.code.iter().enumerate().skip(start) {
            match byte {
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' => depth = depth.saturating_sub(1),
                b'}' if depth <= 1 => return Some(at),
                b'}' => depth -= 1,
                b';' if depth == 0 => return Some(at),
                _ => {}
            }
        }
        None
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn identifier(code: &[u8]) -> String {
    code.iter()
        .skip_while(|byte| **byte == b' ')
        .take_while(|byte| is_word(**byte))
        .map(|byte| char::from(*byte))
        .collect()
}

/// Replaces comments and the contents of literals by spaces.
fn blank(text: &[u8]) -> Vec<u8> {
    let mut code = text.to_vec();
    let mut at = 0;
    while at < text.len() {
        let end = end_of_opaque(text, at);
        for byte in code[at..end].iter_mut().filter(|byte| **byte != b'\n') {
            *byte = b' ';
        }
        at = end.max(at + 1);
    }
    code
}

/// The end of the comment or literal that begins at `at`; `at` itself if none begins there.
fn end_of_opaque(text: &[u8], at: usize) -> usize {
    let rest = &text[at..];
    let length = match rest {
        [b'/', b'/', ..] => rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => block_comment(rest),
        [b'"', ..] => quoted(rest),
        [b'r', b'"' | b'#', ..] if at == 0 || !is_word(text[at - 1]) || text[at - 1] == b'b' => raw_string(rest),
        [b'\'', b'\\', ..] => 2 + rest[3..].iter().position(|byte| *byte == b'\'').map_or(1, |end| end + 2),
        [b'\'', ..] => character(rest),
        _ => 0,
    };
    (at + length).min(text.len())
}

fn block_comment(text: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        match &text[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                at += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

fn quoted(text: &[u8]) -> usize {
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// The length of `r#"…"#`; 0 for a raw identifier.
fn raw_string(text: &[u8]) -> usize {
    let hashes = text[1..].iter().take_while(|byte| **byte == b'#').count();
    if text.get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let close = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    let body = &text[2 + hashes..];
    let end = body.windows(close.len()).position(|window| window == close);
    end.map_or(text.len(), |end| 2 + hashes + end + close.len())
}

/// The length of `'x'`; 0 for a lifetime. The character may have several bytes.
fn character(text: &[u8]) -> usize {
    let width = text.get(1).map_or(1, |first| match first {
        0xf0.. => 4,
        0xe0.. => 3,
        0xc0.. => 2,
        _ => 1,
    });
    if text.get(1 + width) == Some(&b'\'') { width + 2 } else { 0 }
}

#[cfg(test)]
mod tests;
