//! Runs checked expressions and charges every step.
//!
//! Source of the costs: cel-go's `interpreter/runtimecost.go` and `k8s.io/apiserver/pkg/cel/library/cost.go`.

use std::sync::Arc;

use crate::ast::{ACCUMULATOR, Comprehension, Entry, Expr, Field, Kind, Literal};
use crate::budget::Budget;
use crate::checker::{Checked, Reference};
use crate::environment::named_type;
use crate::error::EvaluationError;
use crate::functions::{Overload, dispatch};
use crate::program::Variables;
use crate::types::Type;
use crate::value::{Key, List, Map, Structure, Text, Value};

mod cost;

type Outcome<'a> = Result<Value<'a>, EvaluationError>;

const LIST_COST: u64 = 10;
const MAP_COST: u64 = 30;
const STRUCTURE_COST: u64 = 40;

pub(crate) fn evaluate<'a>(
    expr: &Expr,
    checked: &Checked,
    variables: &Variables<'a>,
    budget: &mut Budget,
) -> Outcome<'a> {
    let mut evaluator = Evaluator { checked, variables, budget, scopes: Vec::new() };
    evaluator.evaluate(expr)
}

struct Evaluator<'p, 'a> {
    checked: &'p Checked,
    variables: &'p Variables<'a>,
    budget: &'p mut Budget,
    /// Loop variables and accumulators; those of inner loops last. An accumulator may be an error that is not final.
    scopes: Vec<(&'p str, Outcome<'a>)>,
}

/// Whether an error ends the evaluation whatever stands beside it.
fn is_final(error: &EvaluationError) -> bool {
    matches!(error, EvaluationError::CallLimitExceeded | EvaluationError::BudgetExceeded)
}

impl<'p, 'a> Evaluator<'p, 'a> {
    fn evaluate(&mut self, expr: &'p Expr) -> Outcome<'a> {
        match &expr.kind {
            Kind::Literal(literal) => Ok(literal_value(literal)),
            Kind::Ident(name) => self.ident(name),
            Kind::Select { operand, field, test } => match &self.checked.references[expr.id] {
                Reference::Name(name) => self.ident(name),
                _ => self.select(operand, field, *test),
            },
            Kind::Call { target, function, args } => self.call(expr, target.as_deref(), function, args),
            Kind::List(items) => self.list(items),
            Kind::Map(entries) => self.map(entries),
            Kind::Structure { name, fields } => self.structure(name, fields),
            Kind::Comprehension(it) => self.comprehension(it),
        }
    }

    fn ident(&mut self, name: &str) -> Outcome<'a> {
        if let Some((_, value)) = self.scopes.iter().rev().find(|(have, _)| *have == name) {
            let value = value.clone();
            self.budget.charge(1)?;
            return value;
        }
        let name = name.trim_start_matches('.');
        if let Some(value) = self.variables.get(name) {
            let value = value.clone();
            self.budget.charge(1)?;
            return self.resolve(value);
        }
        match named_type(name) {
            Some(ty) => Ok(Value::Type(ty)),
            None => Err(EvaluationError::failed(format!("no such attribute(s): {name}"))),
        }
    }

    /// What is computed when it is asked for, is asked for now.
    fn resolve(&mut self, value: Value<'a>) -> Outcome<'a> {
        match value {
            Value::Deferred(deferred) => deferred.get(self.budget),
            other => Ok(other),
        }
    }

    fn select(&mut self, operand: &'p Expr, field: &'p str, test: bool) -> Outcome<'a> {
        let operand = self.evaluate(operand)?;
        if test {
            return Ok(Value::Bool(match &operand {
                Value::Optional(None) => false,
                Value::Optional(Some(inner)) => member(inner, field).is_some(),
                other => member(other, field).is_some(),
            }));
        }
        self.budget.charge(1)?;
        match &operand {
            Value::Optional(None) => Ok(Value::Optional(None)),
            Value::Optional(Some(inner)) => match member(inner, field) {
                Some(found) => Ok(some(self.resolve(found)?)),
                None => Ok(Value::Optional(None)),
            },
            other => match member(other, field) {
                Some(found) => self.resolve(found),
                None => Err(EvaluationError::failed(format!("no such key: {field}"))),
            },
        }
    }

    fn call(&mut self, expr: &'p Expr, target: Option<&'p Expr>, function: &'p str, args: &'p [Expr]) -> Outcome<'a> {
        match function {
            "_&&_" => return self.logical(&args[0], &args[1], false),
            "_||_" => return self.logical(&args[0], &args[1], true),
            "_?:_" | "_?_:_" => return self.conditional(args),
            "_?._" => return self.optional_select(args),
            "@not_strictly_false" => {
                let value = self.evaluate(&args[0]);
                self.budget.charge(1)?;
                return match value {
                    Err(error) if is_final(&error) => Err(error),
                    Ok(Value::Bool(false)) => Ok(Value::Bool(false)),
                    _ => Ok(Value::Bool(true)),
                };
            }
            "_+_" | "cel.@mapInsert" if matches!(&args[0].kind, Kind::Ident(name) if name == ACCUMULATOR) => {
                return self.accumulate(function, args);
            }
            _ => {}
        }
        let Reference::Call { function, overloads, qualified } = &self.checked.references[expr.id] else {
            return Err(EvaluationError::NoSuchOverload);
        };
        let target = target.filter(|_| !qualified);
        let mut values = Vec::with_capacity(args.len() + usize::from(target.is_some()));
        for part in target.into_iter().chain(args) {
            values.push(self.evaluate(part)?);
        }
        self.apply(function, overloads, &values)
    }

    fn apply(&mut self, function: &'static str, overloads: &[&'static Overload], values: &[Value<'a>]) -> Outcome<'a> {
        cost::before(function, values, self.budget)?;
        let implementation = dispatch::implementation(function).ok_or(EvaluationError::NoSuchOverload)?;
        let result = implementation(values);
        self.budget.charge(cost::of(function, overloads, values, result.as_ref().ok()))?;
        result
    }

    /// `&&` and `||`: an error on one side does not matter if the other side decides.
    fn logical(&mut self, left: &'p Expr, right: &'p Expr, decides: bool) -> Outcome<'a> {
        let left = self.evaluate(left);
        match &left {
            Ok(Value::Bool(value)) if *value == decides => return left,
            Err(error) if is_final(error) => return left,
            _ => {}
        }
        let right = self.evaluate(right);
        match (&left, &right) {
            (_, Ok(Value::Bool(value))) if *value == decides => right,
            (_, Err(error)) if is_final(error) => right,
            (Err(_), _) => left,
            (_, Err(_)) => right,
            (Ok(Value::Bool(_)), Ok(Value::Bool(_))) => Ok(Value::Bool(!decides)),
            _ => Err(EvaluationError::NoSuchOverload),
        }
    }

    fn conditional(&mut self, args: &'p [Expr]) -> Outcome<'a> {
        match self.evaluate(&args[0])? {
            Value::Bool(true) => self.evaluate(&args[1]),
            Value::Bool(false) => self.evaluate(&args[2]),
            _ => Err(EvaluationError::NoSuchOverload),
        }
    }

    fn optional_select(&mut self, args: &'p [Expr]) -> Outcome<'a> {
        let operand = self.evaluate(&args[0])?;
        self.budget.charge(1)?;
        let Kind::Literal(Literal::Text(field)) = &args[1].kind else { return Err(EvaluationError::NoSuchOverload) };
        let found = match &operand {
            Value::Optional(None) => None,
            Value::Optional(Some(inner)) => member(inner, field),
            other => member(other, field),
        };
        match found {
            Some(found) => Ok(match self.resolve(found)? {
                optional @ Value::Optional(_) => optional,
                other => some(other),
            }),
            None => Ok(Value::Optional(None)),
        }
    }

    /// Adds to the accumulator of a loop in place: it belongs to nobody else.
    fn accumulate(&mut self, function: &str, args: &'p [Expr]) -> Outcome<'a> {
        let mut values = vec![Value::Null];
        for arg in &args[1..] {
            values.push(self.evaluate(arg)?);
        }
        self.budget.charge(2)?;
        let scope = self.scopes.iter_mut().rev().find(|(name, _)| *name == ACCUMULATOR);
        let Some((_, accumulator)) = scope else { return Err(EvaluationError::NoSuchOverload) };
        let taken = std::mem::replace(accumulator, Ok(Value::Null))?;
        match (taken, &values[1..]) {
            (Value::List(list), [Value::List(more)]) if function == "_+_" => {
                Ok(Value::List(list.append(more.iter().collect())))
            }
            (taken, _) => {
                values[0] = taken;
                dispatch::implementation(function).ok_or(EvaluationError::NoSuchOverload)?(&values)
            }
        }
    }

    fn list(&mut self, items: &'p [(Expr, bool)]) -> Outcome<'a> {
        let mut values = Vec::with_capacity(items.len());
        for (item, optional) in items {
            let value = self.evaluate(item)?;
            match (optional, value) {
                (false, value) => values.push(value),
                (true, Value::Optional(inner)) => values.extend(inner.map(|inner| (*inner).clone())),
                (true, _) => return Err(EvaluationError::NoSuchOverload),
            }
        }
        // A list of constants is made once.
        let constant = items.iter().all(|(item, _)| matches!(item.kind, Kind::Literal(_)));
        self.budget.charge(if constant { 0 } else { LIST_COST })?;
        Ok(Value::List(List::owned(values)))
    }

    fn map(&mut self, entries: &'p [Entry]) -> Outcome<'a> {
        let mut map = std::collections::BTreeMap::new();
        for entry in entries {
            let key = self.evaluate(&entry.key)?;
            let value = match (entry.optional, self.evaluate(&entry.value)?) {
                (false, value) => value,
                (true, Value::Optional(Some(inner))) => (*inner).clone(),
                (true, Value::Optional(None)) => continue,
                (true, _) => return Err(EvaluationError::NoSuchOverload),
            };
            let known = Key::of(&key).filter(|_| !matches!(key, Value::Double(_)));
            let Some(known) = known else {
                let message = format!("unsupported key type: {}", key.type_of());
                return Err(EvaluationError::failed(message));
            };
            if map.insert(known, value).is_some() {
                let message = format!("duplicate map key: {}", crate::library::strings::display(&key));
                return Err(EvaluationError::failed(message));
            }
        }
        let literal = |part: &Expr| matches!(part.kind, Kind::Literal(_));
        let constant = entries.iter().all(|entry| literal(&entry.key) && literal(&entry.value));
        self.budget.charge(if constant { 0 } else { MAP_COST })?;
        Ok(Value::Map(Map::owned(map)))
    }

    fn structure(&mut self, name: &str, fields: &'p [Field]) -> Outcome<'a> {
        let mut values = std::collections::BTreeMap::new();
        for field in fields {
            let value = match (field.optional, self.evaluate(&field.value)?) {
                (false, value) => value,
                (true, Value::Optional(Some(inner))) => (*inner).clone(),
                (true, Value::Optional(None)) => continue,
                (true, _) => return Err(EvaluationError::NoSuchOverload),
            };
            values.insert(field.name.clone(), value);
        }
        self.budget.charge(STRUCTURE_COST)?;
        let name = Arc::from(name.trim_start_matches('.'));
        Ok(Value::Structure(Arc::new(Structure { name, fields: values })))
    }

    fn comprehension(&mut self, it: &'p Comprehension) -> Outcome<'a> {
        let range = self.evaluate(&it.range)?;
        let initial = self.evaluate(&it.initial);
        if matches!(&initial, Err(error) if is_final(error)) {
            return initial;
        }
        let depth = self.scopes.len();
        self.scopes.push((&it.accumulator, initial));
        let result = match &range {
            Value::List(list) => {
                let items = list.iter().enumerate().map(|(at, item)| (Value::Int(at as i64), item));
                self.run(it, items, false)
            }
            Value::Map(map) => {
                let entries: Vec<_> = map.iter().map(|(key, value)| (key.value(), value)).collect();
                self.run(it, entries.into_iter(), true)
            }
            _ => Err(EvaluationError::NoSuchOverload),
        };
        let result = result.and_then(|()| self.evaluate(&it.result));
        self.scopes.truncate(depth);
        result
    }

    fn run(
        &mut self,
        it: &'p Comprehension,
        entries: impl Iterator<Item = (Value<'a>, Value<'a>)>,
        keys: bool,
    ) -> Result<(), EvaluationError> {
        let depth = self.scopes.len();
        for (key, value) in entries {
            match &it.second {
                Some(second) => {
                    self.scopes.push((&it.variable, Ok(key)));
                    let value = self.resolve(value);
                    self.scopes.push((second, value));
                }
                None if keys => self.scopes.push((&it.variable, Ok(key))),
                None => {
                    let value = self.resolve(value);
                    self.scopes.push((&it.variable, value));
                }
            }
            let go_on = self.evaluate(&it.condition)?;
            if matches!(go_on, Value::Bool(false)) {
                self.scopes.truncate(depth);
                break;
            }
            let step = self.evaluate(&it.step);
            self.scopes.truncate(depth);
            if matches!(&step, Err(error) if is_final(error)) {
                return step.map(|_| ());
            }
            if let Some((_, accumulator)) = self.scopes.last_mut() {
                *accumulator = step;
            }
        }
        Ok(())
    }
}

/// A field of a value, if it has it.
fn member<'a>(value: &Value<'a>, field: &str) -> Option<Value<'a>> {
    match value {
        Value::Map(map) => map.field(field),
        Value::Structure(structure) => structure.fields.get(field).cloned(),
        _ => None,
    }
}

pub(crate) fn some(value: Value<'_>) -> Value<'_> {
    Value::Optional(Some(Arc::new(value)))
}

fn literal_value<'a>(literal: &Literal) -> Value<'a> {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(value) => Value::Bool(*value),
        Literal::Int(value) => Value::Int(*value),
        Literal::Uint(value) => Value::Uint(*value),
        Literal::Double(value) => Value::Double(*value),
        Literal::Text(text) => Value::Text(Text::Shared(Arc::clone(text))),
        Literal::Bytes(bytes) => Value::Bytes(Arc::clone(bytes)),
    }
}

/// The type that a value has, as a value.
pub(crate) fn type_value<'a>(value: &Value<'_>) -> Value<'a> {
    Value::Type(match value {
        Value::Type(_) => Type::Type(Arc::new(Type::Dyn)),
        other => other.type_of(),
    })
}
