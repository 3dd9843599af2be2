//! From a source to an expression, by recursive descent over the rules of `CEL.g4`.
//!
//! Each function is a rule of the grammar and fails as ANTLR's generated parser would, so that the messages are its own.

use crate::ast::{Entry, Expr, Field, Kind, Literal};
use crate::error::Finding;
use crate::lexer::{Token, lex};

mod literal;
mod macros;
mod tokens;

use tokens::{Failed, Set, Tokens};

/// How deep expressions may nest: cel-go's limit, which also bounds the stack of everything that walks them.
pub(crate) const MAX_DEPTH: usize = 250;
/// How long an expression may be, in characters: cel-go's limit.
const MAX_LENGTH: usize = 100_000;

const FIRST: Set = Set::of(&[
    Token::OpenBracket,
    Token::OpenBrace,
    Token::Open,
    Token::Dot,
    Token::Minus,
    Token::Not,
    Token::True,
    Token::False,
    Token::Null,
    Token::Float,
    Token::Int,
    Token::Uint,
    Token::Text,
    Token::Bytes,
    Token::Ident,
]);
const RELATIONS: &[(Token, &str)] = &[
    (Token::Equals, "_==_"),
    (Token::NotEquals, "_!=_"),
    (Token::In, "@in"),
    (Token::Less, "_<_"),
    (Token::LessEquals, "_<=_"),
    (Token::GreaterEquals, "_>=_"),
    (Token::Greater, "_>_"),
];
const SUMS: &[(Token, &str)] = &[(Token::Plus, "_+_"), (Token::Minus, "_-_")];
const PRODUCTS: &[(Token, &str)] = &[(Token::Star, "_*_"), (Token::Slash, "_/_"), (Token::Percent, "_%_")];
const OPERATORS: Set = Set::of(&[Token::Plus, Token::Minus, Token::Star, Token::Slash, Token::Percent]);
const RELATION: Set = Set::of(&[
    Token::Equals,
    Token::NotEquals,
    Token::In,
    Token::Less,
    Token::LessEquals,
    Token::GreaterEquals,
    Token::Greater,
]);
const QUESTION: Set = Set::of(&[Token::Question]);
const COMMA: Set = Set::of(&[Token::Comma]);
const MEMBER: Set = Set::of(&[Token::Dot, Token::OpenBracket]);
const NOTHING: Set = Set::of(&[]);

/// Reads a source; the numbers say how many expressions there are and how deep they nest.
pub(crate) fn parse(source: &str) -> Result<(Expr, usize, usize), Vec<Finding>> {
    let length = source.chars().count();
    if length > MAX_LENGTH {
        let message = format!("expression code point size exceeds limit: size: {length}, limit {MAX_LENGTH}");
        return Err(vec![Finding { offset: 0, message }]);
    }
    let mut findings = Vec::new();
    let lexemes = lex(source, &mut findings);
    let mut parser =
        Parser { tokens: Tokens::new(source, lexemes, findings), next_id: 0, depth: 0, deepest: 0, too_deep: false };
    let expr = parser.start();
    match parser.tokens.findings.is_empty() {
        true => Ok((expr, parser.next_id, parser.deepest)),
        false => Err(parser.tokens.findings),
    }
}

pub(crate) struct Parser<'a> {
    tokens: Tokens<'a>,
    next_id: usize,
    depth: usize,
    deepest: usize,
    too_deep: bool,
}

impl Parser<'_> {
    fn make(&mut self, offset: usize, kind: Kind) -> Expr {
        let id = self.next_id;
        self.next_id += 1;
        Expr { id, offset, kind }
    }

    /// Stands for an expression that could not be read.
    fn nothing(&mut self) -> Expr {
        let offset = self.tokens.peek().offset;
        self.make(offset, Kind::Literal(Literal::Null))
    }

    fn call(&mut self, offset: usize, function: &str, args: Vec<Expr>) -> Expr {
        self.make(offset, Kind::Call { target: None, function: function.to_owned(), args })
    }

    fn start(&mut self) -> Expr {
        let expr = self.rule(Set::of(&[Token::End]), Self::expr);
        if !self.too_deep {
            let _ = self.tokens.expect(Token::End, NOTHING, true);
        }
        expr
    }

    /// Reads a rule; if it fails, goes on behind it.
    fn rule(&mut self, follow: Set, read: impl FnOnce(&mut Self) -> Result<Expr, Failed>) -> Expr {
        self.tokens.enter(follow);
        let result = read(self);
        if result.is_err() {
            self.tokens.recover();
        }
        self.tokens.leave();
        result.unwrap_or_else(|Failed| self.nothing())
    }

    /// Counts a level; false at the limit.
    fn deeper(&mut self) -> bool {
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        if self.depth > MAX_DEPTH && !self.too_deep {
            self.too_deep = true;
            let offset = self.tokens.peek().offset;
            self.tokens.report(offset, format!("expression recursion limit exceeded: {MAX_DEPTH}"));
        }
        !self.too_deep
    }

    fn expr(&mut self) -> Result<Expr, Failed> {
        if !self.deeper() {
            return Err(Failed);
        }
        let condition = self.rule(QUESTION, Self::conditional_or);
        let result = match self.tokens.is(Token::Question) {
            false => condition,
            true => {
                let offset = self.tokens.advance().offset;
                let yes = self.rule(Set::of(&[Token::Colon]), Self::conditional_or);
                self.tokens.expect(Token::Colon, FIRST, false)?;
                let no = self.rule(NOTHING, Self::expr);
                self.call(offset, "_?_:_", vec![condition, yes, no])
            }
        };
        self.depth -= 1;
        Ok(result)
    }

    fn conditional_or(&mut self) -> Result<Expr, Failed> {
        self.logical(Token::Or, "_||_", Self::conditional_and)
    }

    fn conditional_and(&mut self) -> Result<Expr, Failed> {
        self.logical(Token::And, "_&&_", Self::relation)
    }

    fn logical(
        &mut self,
        operator: Token,
        function: &str,
        read: fn(&mut Self) -> Result<Expr, Failed>,
    ) -> Result<Expr, Failed> {
        let follow = Set::of(&[operator]);
        let mut terms = vec![self.rule(follow, read)];
        let mut offsets = Vec::new();
        while self.tokens.is(operator) && !self.too_deep {
            offsets.push(self.tokens.advance().offset);
            terms.push(self.rule(follow, read));
        }
        Ok(self.balance(function, &mut terms.into_iter().map(Some).collect::<Vec<_>>(), &offsets))
    }

    /// Long conjunctions become trees that are wide rather than deep.
    fn balance(&mut self, function: &str, terms: &mut [Option<Expr>], offsets: &[usize]) -> Expr {
        if offsets.is_empty() {
            return terms[0].take().expect("each term is taken once");
        }
        let middle = offsets.len() / 2;
        let (left, right) = terms.split_at_mut(middle + 1);
        let left = self.balance(function, left, &offsets[..middle]);
        let right = self.balance(function, right, &offsets[middle + 1..]);
        self.call(offsets[middle], function, vec![left, right])
    }

    fn relation(&mut self) -> Result<Expr, Failed> {
        self.chain(RELATIONS, RELATION, |parser| parser.chain(SUMS, OPERATORS, Self::product))
    }

    fn product(&mut self) -> Result<Expr, Failed> {
        self.chain(PRODUCTS, OPERATORS, Self::unary)
    }

    /// Operators of one precedence, from the left.
    fn chain(
        &mut self,
        operators: &[(Token, &str)],
        follow: Set,
        read: fn(&mut Self) -> Result<Expr, Failed>,
    ) -> Result<Expr, Failed> {
        let mut left = self.rule(follow, read);
        let depth = self.depth;
        while let Some((_, function)) = operators.iter().find(|(token, _)| self.tokens.is(*token)) {
            if !self.deeper() {
                return Err(Failed);
            }
            let offset = self.tokens.advance().offset;
            let right = self.rule(follow, read);
            left = self.call(offset, function, vec![left, right]);
        }
        self.depth = depth;
        Ok(left)
    }

    fn unary(&mut self) -> Result<Expr, Failed> {
        self.tokens.sync(FIRST)?;
        let first = self.tokens.peek();
        let number = matches!(self.tokens.peek_at(1).token, Token::Int | Token::Float);
        let function = match first.token {
            Token::Not => "!_",
            // A number's sign belongs to the number.
            Token::Minus if !number => "-_",
            _ => return self.member(),
        };
        let mut count = 0;
        while self.tokens.is(first.token) && !(count > 0 && first.token == Token::Minus && self.signed_number()) {
            let next = self.tokens.peek_at(1).token;
            if !FIRST.has(next) {
                return Err(self.tokens.no_alternative(1));
            }
            self.tokens.advance();
            count += 1;
        }
        let operand = self.rule(NOTHING, Self::member);
        Ok(if count % 2 == 0 { operand } else { self.call(first.offset, function, vec![operand]) })
    }

    fn signed_number(&self) -> bool {
        matches!(self.tokens.peek_at(1).token, Token::Int | Token::Float)
    }

    fn member(&mut self) -> Result<Expr, Failed> {
        let mut expr = self.rule(MEMBER, Self::primary);
        let depth = self.depth;
        loop {
            let token = self.tokens.peek().token;
            if !MEMBER.has(token) {
                break;
            }
            if !self.deeper() {
                return Err(Failed);
            }
            expr = if token == Token::Dot { self.select(expr)? } else { self.index(expr)? };
        }
        self.depth = depth;
        Ok(expr)
    }

    fn select(&mut self, operand: Expr) -> Result<Expr, Failed> {
        let optional = self.tokens.peek_at(1).token == Token::Question;
        let name_at = 1 + usize::from(optional);
        let name = self.tokens.peek_at(name_at);
        if !matches!(name.token, Token::Ident | Token::EscapedIdent) {
            return Err(self.tokens.no_alternative(name_at));
        }
        let dot = self.tokens.advance().offset;
        if optional {
            self.tokens.advance();
        }
        self.tokens.advance();
        if optional {
            let field = self.make(name.offset, Kind::Literal(Literal::Text(field_name(name.text).into())));
            return Ok(self.call(dot, "_?._", vec![operand, field]));
        }
        if name.token == Token::Ident && self.tokens.is(Token::Open) {
            let (offset, args) = self.arguments()?;
            return Ok(self.expand(offset, Some(operand), name.text, args));
        }
        let field = field_name(name.text);
        Ok(self.make(dot, Kind::Select { operand: Box::new(operand), field, test: false }))
    }

    fn index(&mut self, operand: Expr) -> Result<Expr, Failed> {
        let offset = self.tokens.advance().offset;
        let optional = self.tokens.is(Token::Question);
        if optional {
            self.tokens.advance();
        }
        let index = self.rule(Set::of(&[Token::CloseBracket]), Self::expr);
        self.tokens.expect(Token::CloseBracket, MEMBER, true)?;
        Ok(self.call(offset, if optional { "_[?_]" } else { "_[_]" }, vec![operand, index]))
    }

    /// The arguments in parentheses and the place of the opening one.
    fn arguments(&mut self) -> Result<(usize, Vec<Expr>), Failed> {
        let offset = self.tokens.advance().offset;
        self.tokens.sync(FIRST.with(Set::of(&[Token::Close])))?;
        let mut args = Vec::new();
        if !self.tokens.is(Token::Close) {
            args.push(self.rule(COMMA.with(Set::of(&[Token::Close])), Self::expr));
            while self.tokens.is(Token::Comma) && !self.too_deep {
                self.tokens.advance();
                args.push(self.rule(COMMA.with(Set::of(&[Token::Close])), Self::expr));
            }
        }
        self.tokens.expect(Token::Close, MEMBER, true)?;
        Ok((offset, args))
    }

    fn primary(&mut self) -> Result<Expr, Failed> {
        let first = self.tokens.peek();
        match first.token {
            Token::Open => {
                self.tokens.advance();
                let inner = self.rule(Set::of(&[Token::Close]), Self::expr);
                self.tokens.expect(Token::Close, MEMBER, true)?;
                Ok(inner)
            }
            Token::OpenBracket => self.list(),
            Token::OpenBrace => self.map(),
            Token::Dot | Token::Ident => self.named(),
            Token::Minus => {
                self.tokens.advance();
                self.literal(true, first.offset)
            }
            _ => self.literal(false, first.offset),
        }
    }

    fn literal(&mut self, negative: bool, offset: usize) -> Result<Expr, Failed> {
        let lexeme = self.tokens.peek();
        let literals = Set::of(&[
            Token::True,
            Token::False,
            Token::Null,
            Token::Float,
            Token::Int,
            Token::Uint,
            Token::Text,
            Token::Bytes,
        ]);
        if !literals.has(lexeme.token) {
            return Err(self.tokens.mismatch(FIRST));
        }
        self.tokens.advance();
        match literal::literal(lexeme.token, lexeme.text, negative) {
            Ok(literal) => Ok(self.make(offset, Kind::Literal(literal))),
            Err(message) => {
                self.tokens.report(offset, message);
                Ok(self.nothing())
            }
        }
    }

    /// A name, a call of a function, or a message: `a.b.C{…}`.
    fn named(&mut self) -> Result<Expr, Failed> {
        let leading = self.tokens.is(Token::Dot);
        if leading && self.tokens.peek_at(1).token != Token::Ident {
            return Err(self.tokens.no_alternative(1));
        }
        if let Some(parts) = self.message_name() {
            return self.message(leading, parts);
        }
        let start = self.tokens.peek().offset;
        if leading {
            self.tokens.advance();
        }
        let name = self.tokens.advance();
        let dotted = if leading { format!(".{}", name.text) } else { name.text.to_owned() };
        if self.tokens.is(Token::Open) {
            let (offset, args) = self.arguments()?;
            return Ok(self.expand(offset, None, &dotted, args));
        }
        if crate::escaping::is_reserved(name.text) {
            self.tokens.report(name.offset, format!("reserved identifier: {}", name.text));
        }
        Ok(self.make(start, Kind::Ident(dotted)))
    }

    /// The number of names before a brace, if names separated by dots and a brace are next.
    fn message_name(&self) -> Option<usize> {
        let mut at = usize::from(self.tokens.is(Token::Dot));
        let mut parts = 0;
        loop {
            if self.tokens.peek_at(at).token != Token::Ident {
                return None;
            }
            parts += 1;
            match self.tokens.peek_at(at + 1).token {
                Token::OpenBrace => return Some(parts),
                Token::Dot => at += 2,
                _ => return None,
            }
        }
    }

    fn message(&mut self, leading: bool, parts: usize) -> Result<Expr, Failed> {
        if leading {
            self.tokens.advance();
        }
        let mut name = if leading { ".".to_owned() } else { String::new() };
        for part in 0..parts {
            name.push_str(if part > 0 { "." } else { "" });
            name.push_str(self.tokens.advance().text);
            if part + 1 < parts {
                self.tokens.advance();
            }
        }
        let offset = self.tokens.advance().offset;
        let names = Set::of(&[Token::Question, Token::Ident, Token::EscapedIdent]);
        let ends = Set::of(&[Token::CloseBrace, Token::Comma]);
        self.tokens.sync(names.with(ends))?;
        let mut fields = Vec::new();
        while names.has(self.tokens.peek().token) && !self.too_deep {
            let optional = self.optional();
            let field = self.tokens.peek();
            if !matches!(field.token, Token::Ident | Token::EscapedIdent) {
                return Err(self.tokens.mismatch(Set::of(&[Token::Ident, Token::EscapedIdent])));
            }
            self.tokens.advance();
            let colon = self.tokens.expect(Token::Colon, FIRST, false)?.offset;
            let value = self.rule(ends, Self::expr);
            fields.push(Field { offset: colon, name: field_name(field.text), value, optional });
            if !self.tokens.is(Token::Comma) {
                break;
            }
            self.tokens.advance();
        }
        self.close(Token::CloseBrace, ends)?;
        Ok(self.make(offset, Kind::Structure { name, fields }))
    }

    fn optional(&mut self) -> bool {
        let optional = self.tokens.is(Token::Question);
        if optional {
            self.tokens.advance();
        }
        optional
    }

    fn close(&mut self, token: Token, ends: Set) -> Result<(), Failed> {
        self.tokens.sync(ends)?;
        if self.tokens.is(Token::Comma) {
            self.tokens.advance();
        }
        self.tokens.expect(token, MEMBER, true).map(|_| ())
    }

    fn list(&mut self) -> Result<Expr, Failed> {
        let offset = self.tokens.advance().offset;
        let ends = Set::of(&[Token::CloseBracket, Token::Comma]);
        self.tokens.sync(FIRST.with(ends).with(QUESTION))?;
        let mut items = Vec::new();
        while !ends.has(self.tokens.peek().token) && !self.too_deep {
            let optional = self.optional();
            items.push((self.rule(ends, Self::expr), optional));
            if !self.tokens.is(Token::Comma) || self.tokens.peek_at(1).token == Token::CloseBracket {
                break;
            }
            self.tokens.advance();
        }
        self.close(Token::CloseBracket, ends)?;
        Ok(self.make(offset, Kind::List(items)))
    }

    fn map(&mut self) -> Result<Expr, Failed> {
        let offset = self.tokens.advance().offset;
        let ends = Set::of(&[Token::CloseBrace, Token::Comma]);
        self.tokens.sync(FIRST.with(ends).with(QUESTION))?;
        let mut entries = Vec::new();
        while !ends.has(self.tokens.peek().token) && !self.too_deep {
            let optional = self.optional();
            let key = self.rule(Set::of(&[Token::Colon]), Self::expr);
            self.tokens.expect(Token::Colon, FIRST, false)?;
            let value = self.rule(ends, Self::expr);
            entries.push(Entry { key, value, optional });
            if !self.tokens.is(Token::Comma) || self.tokens.peek_at(1).token == Token::CloseBrace {
                break;
            }
            self.tokens.advance();
        }
        self.close(Token::CloseBrace, ends)?;
        Ok(self.make(offset, Kind::Map(entries)))
    }
}

fn field_name(text: &str) -> String {
    text.trim_matches('`').to_owned()
}
