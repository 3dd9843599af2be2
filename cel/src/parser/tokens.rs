//! Sets of tokens, and reading tokens as ANTLR's parsers do: with its recovery and its messages.
//!
//! Source: ANTLR 4's `DefaultErrorStrategy`.

use crate::error::Finding;
use crate::lexer::{Lexeme, Token};

/// A set of tokens.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Set(u64);

impl Set {
    pub(super) const fn of(tokens: &[Token]) -> Self {
        let mut bits = 0;
        let mut at = 0;
        while at < tokens.len() {
            bits |= 1 << tokens[at] as u8;
            at += 1;
        }
        Self(bits)
    }

    pub(super) const fn with(self, other: Set) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn has(self, token: Token) -> bool {
        self.0 & (1 << token as u8) != 0
    }

    fn display(self) -> String {
        let all = (0..=Token::End as u8).filter(|bit| self.0 & (1 << bit) != 0);
        // The end has the lowest number with ANTLR.
        let mut names: Vec<&str> = Vec::new();
        for bit in all {
            let name = TOKENS[bit as usize].name();
            if bit == Token::End as u8 { names.insert(0, name) } else { names.push(name) }
        }
        if names.len() == 1 { names[0].to_owned() } else { format!("{{{}}}", names.join(", ")) }
    }
}

const TOKENS: [Token; 36] = [
    Token::Equals,
    Token::NotEquals,
    Token::In,
    Token::Less,
    Token::LessEquals,
    Token::GreaterEquals,
    Token::Greater,
    Token::And,
    Token::Or,
    Token::OpenBracket,
    Token::CloseBracket,
    Token::OpenBrace,
    Token::CloseBrace,
    Token::Open,
    Token::Close,
    Token::Dot,
    Token::Comma,
    Token::Minus,
    Token::Not,
    Token::Question,
    Token::Colon,
    Token::Plus,
    Token::Star,
    Token::Slash,
    Token::Percent,
    Token::True,
    Token::False,
    Token::Null,
    Token::Float,
    Token::Int,
    Token::Uint,
    Token::Text,
    Token::Bytes,
    Token::Ident,
    Token::EscapedIdent,
    Token::End,
];

/// A rule that could not go on: it has been reported, and the tokens until something that may follow are skipped.
#[derive(Debug)]
pub(super) struct Failed;

/// The tokens of a source and where the parser stands.
pub(super) struct Tokens<'a> {
    source: &'a str,
    lexemes: Vec<Lexeme<'a>>,
    at: usize,
    /// Between an error and the next token that fits: errors there are not reported.
    recovering: bool,
    last_error: Option<usize>,
    /// What may follow each rule that is being read.
    follow: Vec<Set>,
    pub(super) findings: Vec<Finding>,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(source: &'a str, lexemes: Vec<Lexeme<'a>>, findings: Vec<Finding>) -> Self {
        Self { source, lexemes, at: 0, recovering: false, last_error: None, follow: Vec::new(), findings }
    }

    pub(super) fn peek(&self) -> Lexeme<'a> {
        self.peek_at(0)
    }

    pub(super) fn peek_at(&self, distance: usize) -> Lexeme<'a> {
        self.lexemes[(self.at + distance).min(self.lexemes.len() - 1)]
    }

    pub(super) fn is(&self, token: Token) -> bool {
        self.peek().token == token
    }

    pub(super) fn advance(&mut self) -> Lexeme<'a> {
        let lexeme = self.peek();
        self.recovering = false;
        self.skip();
        lexeme
    }

    fn skip(&mut self) {
        self.at = (self.at + 1).min(self.lexemes.len() - 1);
    }

    /// Enters a rule that these may follow.
    pub(super) fn enter(&mut self, follow: Set) {
        self.follow.push(follow);
    }

    pub(super) fn leave(&mut self) {
        self.follow.pop();
    }

    pub(super) fn report(&mut self, offset: usize, message: impl Into<String>) {
        self.findings.push(Finding { offset, message: message.into() });
    }

    fn syntax_error(&mut self, message: String) {
        if !self.recovering {
            let offset = self.peek().offset;
            self.report(offset, format!("Syntax error: {message}"));
        }
        self.recovering = true;
    }

    /// Before a choice: the next token has to be one of these, or the one after it, or the rule fails.
    pub(super) fn sync(&mut self, expected: Set) -> Result<(), Failed> {
        if self.recovering || expected.has(self.peek().token) {
            return Ok(());
        }
        if self.delete_one(expected) { Ok(()) } else { Err(self.mismatch(expected)) }
    }

    /// Reads that token, or recovers by leaving out one that is too much or adding the one that is missing: `after` may
    /// follow it in this rule, and `ends` says whether the rule may end with it.
    pub(super) fn expect(&mut self, token: Token, after: Set, ends: bool) -> Result<Lexeme<'a>, Failed> {
        if self.is(token) {
            return Ok(self.advance());
        }
        let expected = Set::of(&[token]);
        if self.delete_one(expected) {
            return Ok(self.advance());
        }
        let next = self.peek().token;
        if after.has(next) || (ends && self.follow.iter().any(|set| set.has(next))) {
            let message = format!("missing {} at {}", expected.display(), shown(self.peek()));
            self.syntax_error(message);
            let here = self.peek();
            return Ok(Lexeme { token, text: "", ..here });
        }
        Err(self.mismatch(expected))
    }

    fn delete_one(&mut self, expected: Set) -> bool {
        if !expected.has(self.peek_at(1).token) || self.is(Token::End) {
            return false;
        }
        let message = format!("extraneous input {} expecting {}", shown(self.peek()), expected.display());
        self.syntax_error(message);
        self.skip();
        self.recovering = false;
        true
    }

    pub(super) fn mismatch(&mut self, expected: Set) -> Failed {
        let message = format!("mismatched input {} expecting {}", shown(self.peek()), expected.display());
        self.syntax_error(message);
        Failed
    }

    /// No alternative of a rule goes on so: the tokens from here to `distance` further fit none.
    pub(super) fn no_alternative(&mut self, distance: usize) -> Failed {
        let start = self.peek();
        let offending = self.peek_at(distance);
        let end = match offending.token {
            Token::End => self.source[start.start..].trim_end().len() + start.start,
            _ => offending.start + offending.text.len(),
        };
        let text = if start.token == Token::End { "<EOF>" } else { &self.source[start.start..end] };
        if !self.recovering {
            let message = format!("Syntax error: no viable alternative at input '{}'", escape(text));
            self.report(offending.offset, message);
        }
        self.recovering = true;
        Failed
    }

    /// After a rule failed: skips to what may follow it or any rule around it.
    pub(super) fn recover(&mut self) {
        if self.last_error == Some(self.at) {
            self.skip();
        }
        self.last_error = Some(self.at);
        while !self.is(Token::End) && !self.follow.iter().any(|set| set.has(self.peek().token)) {
            self.skip();
        }
    }
}

fn shown(lexeme: Lexeme<'_>) -> String {
    format!("'{}'", escape(lexeme.text))
}

fn escape(text: &str) -> String {
    text.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t")
}
