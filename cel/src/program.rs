//! Compiled expressions, and what they run over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ast::{Expr, Kind};
use crate::budget::Budget;
use crate::checker::{Checked, literals};
use crate::environment::Environment;
use crate::error::EvaluationError;
use crate::estimate::{self, CostEstimate};
use crate::evaluator;
use crate::stack;
use crate::types::Type;
use crate::value::Value;

/// A compiled expression. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Program(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: String,
    expr: Expr,
    depth: usize,
    checked: Checked,
    environment: Environment,
}

/// The values of variables by name.
#[derive(Clone, Debug, Default)]
pub struct Variables<'a> {
    values: BTreeMap<String, Value<'a>>,
}

impl Program {
    pub(crate) fn new(source: &str, (expr, depth): (Expr, usize), checked: Checked, environment: Environment) -> Self {
        Self(Arc::new(Inner { source: source.to_owned(), expr, depth, checked, environment }))
    }

    /// The expression.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The type of its result.
    pub fn result_type(&self) -> &Type {
        &self.0.checked.types[self.0.expr.id]
    }

    /// Whether it mentions a variable of that name.
    pub fn mentions(&self, variable: &str) -> bool {
        self.names().contains(variable)
    }

    /// The names of variables and loop variables in it.
    pub fn names(&self) -> BTreeSet<&str> {
        fn walk<'e>(expr: &'e Expr, names: &mut BTreeSet<&'e str>) {
            if let Kind::Ident(name) = &expr.kind {
                names.insert(name.trim_start_matches('.'));
            }
            literals::children(expr, &mut |child| walk(child, names));
        }
        let mut names = BTreeSet::new();
        walk(&self.0.expr, &mut names);
        names
    }

    /// Runs it. What it costs is taken from the budget, also when it fails.
    pub fn evaluate<'a>(&self, variables: &Variables<'a>, budget: &mut Budget) -> Result<Value<'a>, EvaluationError> {
        let outer = budget.begin();
        let run = || evaluator::evaluate(&self.0.expr, &self.0.checked, variables, budget);
        let result = stack::with_room(self.0.depth, run).unwrap_or(Err(EvaluationError::NoRoom));
        match budget.finish(outer) {
            Err(exceeded) if !matches!(result, Err(EvaluationError::CallLimitExceeded)) => Err(exceeded),
            _ => result,
        }
    }

    /// What it costs at least and at most, by the sizes that the types of its variables allow.
    pub fn estimate(&self) -> CostEstimate {
        let run = || estimate::estimate(&self.0.expr, &self.0.checked, &self.0.environment);
        stack::with_room(self.0.depth, run).unwrap_or(CostEstimate::UNKNOWN)
    }
}

impl<'a> Variables<'a> {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a variable.
    pub fn with(mut self, name: &str, value: Value<'a>) -> Self {
        self.values.insert(name.to_owned(), value);
        self
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &str, value: Value<'a>) {
        self.values.insert(name.to_owned(), value);
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.values.get(name)
    }
}
