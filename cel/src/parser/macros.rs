//! Macros: calls that stand for loops and tests.
//!
//! Sources: cel-go's `parser/macro.go`, `cel/library.go` (optional types), `ext/comprehensions.go`.

use super::Parser;
use crate::ast::{ACCUMULATOR, Comprehension, Expr, Kind, Literal};

const NOT_A_NAME: &str = "argument must be a simple name";
const NOT_AN_IDENTIFIER: &str = "argument is not an identifier";
/// The optional of `optMap`, and a variable that nobody reads: no identifier can be called so.
const OPTIONAL: &str = "@optional";
const SORTED: &str = "@sorted";
const UNUSED: &str = "#unused";

/// Two variables over a list or map.
struct Variables {
    first: String,
    second: Option<String>,
}

impl Parser<'_> {
    /// A call, or what it stands for.
    pub(super) fn expand(&mut self, offset: usize, target: Option<Expr>, name: &str, mut args: Vec<Expr>) -> Expr {
        let Some(target) = target else {
            if name == "has" && args.len() == 1 {
                return self.has(offset, args.remove(0));
            }
            return self.make(offset, Kind::Call { target: None, function: name.to_owned(), args });
        };
        match (name, args.len()) {
            ("all" | "exists" | "exists_one" | "existsOne" | "filter", 2) | ("map", 2 | 3) => {
                self.one_variable(offset, target, name, args)
            }
            ("all" | "exists" | "exists_one" | "existsOne", 3)
            | ("transformList" | "transformMap" | "transformMapEntry", 3 | 4) => {
                self.two_variables(offset, target, name, args)
            }
            ("sortBy", 2) => self.sort_by(offset, target, args),
            ("optMap" | "optFlatMap", 2) => self.optional_map(offset, target, name == "optFlatMap", args),
            _ => {
                let target = Some(Box::new(target));
                self.make(offset, Kind::Call { target, function: name.to_owned(), args })
            }
        }
    }

    fn has(&mut self, offset: usize, arg: Expr) -> Expr {
        match arg.kind {
            Kind::Select { operand, field, .. } => self.make(offset, Kind::Select { operand, field, test: true }),
            _ => self.refuse(arg.offset, "invalid argument to has() macro"),
        }
    }

    fn refuse(&mut self, offset: usize, message: &str) -> Expr {
        self.tokens.report(offset, message);
        self.make(offset, Kind::Literal(Literal::Null))
    }

    fn variable(&mut self, arg: &Expr, message: &str) -> Option<String> {
        match &arg.kind {
            Kind::Ident(name) if name == "__result__" || name == ACCUMULATOR => {
                self.tokens.report(arg.offset, "iteration variable overwrites accumulator variable");
                None
            }
            Kind::Ident(name) if !name.starts_with('.') => Some(name.clone()),
            _ => {
                self.tokens.report(arg.offset, message);
                None
            }
        }
    }

    fn one_variable(&mut self, offset: usize, range: Expr, name: &str, mut args: Vec<Expr>) -> Expr {
        let message = if matches!(name, "map" | "filter") { NOT_AN_IDENTIFIER } else { NOT_A_NAME };
        let variable = args.remove(0);
        let Some(first) = self.variable(&variable, message) else { return self.refused(variable.offset) };
        let variables = Variables { first: first.clone(), second: None };
        let mut body = args.remove(0);
        match name {
            "filter" => {
                let item = self.make(variable.offset, Kind::Ident(first));
                self.collect(offset, range, variables, (Some(body), item))
            }
            "map" => {
                let condition = args.pop().map(|value| std::mem::replace(&mut body, value));
                self.collect(offset, range, variables, (condition, body))
            }
            _ => self.quantify(offset, range, variables, (name, body)),
        }
    }

    fn refused(&mut self, offset: usize) -> Expr {
        self.make(offset, Kind::Literal(Literal::Null))
    }

    fn two_variables(&mut self, offset: usize, range: Expr, name: &str, mut args: Vec<Expr>) -> Expr {
        let (first, second) = (args.remove(0), args.remove(0));
        let names = (self.variable(&first, NOT_A_NAME), self.variable(&second, NOT_A_NAME));
        let (Some(key), Some(value)) = names else { return self.refused(offset) };
        if key == value {
            return self.refuse(second.offset, &format!("duplicate variable name: {key}"));
        }
        let variables = Variables { first: key.clone(), second: Some(value) };
        let mut body = args.remove(0);
        let condition = args.pop().map(|value| std::mem::replace(&mut body, value));
        match name {
            "transformList" => self.collect(offset, range, variables, (condition, body)),
            "transformMap" => {
                let key = self.make(first.offset, Kind::Ident(key));
                let accumulator = self.accumulator(offset);
                let step = self.call(offset, "cel.@mapInsert", vec![accumulator, key, body]);
                self.gather(offset, range, variables, (condition, step))
            }
            "transformMapEntry" => {
                let accumulator = self.accumulator(offset);
                let step = self.call(offset, "cel.@mapInsert", vec![accumulator, body]);
                self.gather(offset, range, variables, (condition, step))
            }
            _ => self.quantify(offset, range, variables, (name, body)),
        }
    }

    fn accumulator(&mut self, offset: usize) -> Expr {
        self.make(offset, Kind::Ident(ACCUMULATOR.to_owned()))
    }

    fn literal_of(&mut self, offset: usize, literal: Literal) -> Expr {
        self.make(offset, Kind::Literal(literal))
    }

    /// `all`, `exists`, `exists_one`.
    fn quantify(&mut self, offset: usize, range: Expr, variables: Variables, (name, body): (&str, Expr)) -> Expr {
        let accumulator = self.accumulator(offset);
        let result = self.accumulator(offset);
        let (initial, condition, step, result) = match name {
            "all" => {
                let initial = self.literal_of(offset, Literal::Bool(true));
                let condition = self.call(offset, "@not_strictly_false", vec![accumulator]);
                let previous = self.accumulator(offset);
                (initial, condition, self.call(offset, "_&&_", vec![previous, body]), result)
            }
            "exists" => {
                let initial = self.literal_of(offset, Literal::Bool(false));
                let not = self.call(offset, "!_", vec![accumulator]);
                let condition = self.call(offset, "@not_strictly_false", vec![not]);
                let previous = self.accumulator(offset);
                (initial, condition, self.call(offset, "_||_", vec![previous, body]), result)
            }
            _ => {
                let initial = self.literal_of(offset, Literal::Int(0));
                let condition = self.literal_of(offset, Literal::Bool(true));
                let one = self.literal_of(offset, Literal::Int(1));
                let more = self.call(offset, "_+_", vec![accumulator, one]);
                let same = self.accumulator(offset);
                let step = self.call(offset, "_?_:_", vec![body, more, same]);
                let one = self.literal_of(offset, Literal::Int(1));
                (initial, condition, step, self.call(offset, "_==_", vec![result, one]))
            }
        };
        let accumulator = ACCUMULATOR.to_owned();
        let Variables { first: variable, second } = variables;
        let comprehension = Comprehension { range, variable, second, accumulator, initial, condition, step, result };
        self.make(offset, Kind::Comprehension(Box::new(comprehension)))
    }

    /// Loops that append an item to a list, perhaps only under a condition.
    fn collect(
        &mut self,
        offset: usize,
        range: Expr,
        variables: Variables,
        (condition, item): (Option<Expr>, Expr),
    ) -> Expr {
        let accumulator = self.accumulator(offset);
        let item = self.make(offset, Kind::List(vec![(item, false)]));
        let step = self.call(offset, "_+_", vec![accumulator, item]);
        let initial = self.make(offset, Kind::List(Vec::new()));
        self.fold(offset, range, variables, (initial, condition, step))
    }

    fn gather(
        &mut self,
        offset: usize,
        range: Expr,
        variables: Variables,
        (condition, step): (Option<Expr>, Expr),
    ) -> Expr {
        let initial = self.make(offset, Kind::Map(Vec::new()));
        self.fold(offset, range, variables, (initial, condition, step))
    }

    fn fold(
        &mut self,
        offset: usize,
        range: Expr,
        variables: Variables,
        (initial, only_if, step): (Expr, Option<Expr>, Expr),
    ) -> Expr {
        let condition = self.literal_of(offset, Literal::Bool(true));
        let step = match only_if {
            None => step,
            Some(only_if) => {
                let same = self.accumulator(offset);
                self.call(offset, "_?_:_", vec![only_if, step, same])
            }
        };
        let result = self.accumulator(offset);
        let accumulator = ACCUMULATOR.to_owned();
        let Variables { first: variable, second } = variables;
        let comprehension = Comprehension { range, variable, second, accumulator, initial, condition, step, result };
        self.make(offset, Kind::Comprehension(Box::new(comprehension)))
    }

    /// `x.optMap(v, f(v))` is `x.hasValue() ? optional.of(f(x.value())) : optional.none()`, with `x` bound first.
    fn optional_map(&mut self, offset: usize, target: Expr, flat: bool, mut args: Vec<Expr>) -> Expr {
        let variable = args.remove(0);
        let Some(name) = self.variable(&variable, "optMap() variable name must be a simple identifier") else {
            return self.refused(variable.offset);
        };
        let body = args.remove(0);
        let present = self.member_call(offset, "hasValue");
        let value = self.member_call(offset, "value");
        let bound = self.bind(offset, name, value, body);
        let some = if flat { bound } else { self.call(offset, "optional.of", vec![bound]) };
        let none = self.call(offset, "optional.none", Vec::new());
        let chosen = self.call(offset, "_?_:_", vec![present, some, none]);
        self.bind(offset, OPTIONAL.to_owned(), target, chosen)
    }

    /// A loop over nothing, whose result sees `initial` under that name.
    fn bind(&mut self, offset: usize, name: String, initial: Expr, result: Expr) -> Expr {
        let range = self.make(offset, Kind::List(Vec::new()));
        let condition = self.literal_of(offset, Literal::Bool(false));
        let step = self.make(offset, Kind::Ident(name.clone()));
        let variable = UNUSED.to_owned();
        let bound =
            Comprehension { range, variable, second: None, accumulator: name, initial, condition, step, result };
        self.make(offset, Kind::Comprehension(Box::new(bound)))
    }

    /// `x.sortBy(v, f(v))` sorts `x` by `x.map(v, f(v))`.
    fn sort_by(&mut self, offset: usize, target: Expr, mut args: Vec<Expr>) -> Expr {
        let variable = args.remove(0);
        let Some(first) = self.variable(&variable, "sortBy() variable name must be a simple identifier") else {
            return self.refused(variable.offset);
        };
        let range = self.make(offset, Kind::Ident(SORTED.to_owned()));
        let keys = self.collect(offset, range, Variables { first, second: None }, (None, args.remove(0)));
        let sorted = Some(Box::new(self.make(offset, Kind::Ident(SORTED.to_owned()))));
        let function = "@sortByAssociatedKeys".to_owned();
        let result = self.make(offset, Kind::Call { target: sorted, function, args: vec![keys] });
        self.bind(offset, SORTED.to_owned(), target, result)
    }

    fn member_call(&mut self, offset: usize, function: &str) -> Expr {
        let target = Some(Box::new(self.make(offset, Kind::Ident(OPTIONAL.to_owned()))));
        self.make(offset, Kind::Call { target, function: function.to_owned(), args: Vec::new() })
    }
}
