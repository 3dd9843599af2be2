//! Evaluates the expressions of a policy for one request and one object of parameters.

use std::fmt;
use std::sync::{Arc, OnceLock};

use serde_json::Value;
use steersman_cel::{Budget, Deferred, EvaluationError, Value as CelValue, Variables};

use super::definition::{Expression, Policy};
use crate::admission::expressions::{self, Input};

/// A variable of a policy: evaluated when an expression first asks for it, and once.
struct Variable<'a> {
    expression: &'a Expression,
    /// What it sees: the variables before it among others.
    sees: Variables<'a>,
    value: OnceLock<Result<CelValue<'a>, EvaluationError>>,
}

impl fmt::Debug for Variable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Variable").field("source", &self.expression.source).finish_non_exhaustive()
    }
}

impl<'a> Deferred<'a> for Variable<'a> {
    fn get(&self, budget: &mut Budget) -> Result<CelValue<'a>, EvaluationError> {
        if let Some(value) = self.value.get() {
            return value.clone();
        }
        let value = match &self.expression.program {
            Ok(program) => program.evaluate(&self.sees, budget),
            Err(fault) => Err(EvaluationError::failed(format!("composited variable failed to compile: {fault}"))),
        };
        self.value.get_or_init(|| value).clone()
    }
}

/// Everything that the expressions of a policy may refer to.
pub(super) fn variables<'a>(policy: &'a Policy, input: &'a Input, params: Option<&'a Value>) -> Variables<'a> {
    let base = input.variables(params);
    let mut seen = base.clone().with("variables", CelValue::map([]));
    let mut fields: Vec<(String, CelValue<'a>)> = Vec::new();
    for (name, expression) in &policy.variables {
        let variable = Variable { expression, sees: seen, value: OnceLock::new() };
        fields.push((name.clone(), CelValue::Deferred(Arc::new(variable))));
        seen = base.clone().with("variables", CelValue::map(fields.iter().cloned()));
    }
    seen
}

/// Why an expression gave no result.
#[derive(Debug)]
pub(super) enum Failure {
    /// This expression did not; others may.
    Expression(String),
    /// There is nothing left to evaluate others with.
    Budget(String),
}

impl Failure {
    /// In upstream's words.
    pub(super) fn text(self) -> String {
        match self {
            Self::Expression(text) | Self::Budget(text) => text,
        }
    }
}

/// The result of an expression.
pub(super) fn evaluate<'a>(
    expression: &Expression,
    variables: &Variables<'a>,
    budget: &mut Budget,
) -> Result<CelValue<'a>, Failure> {
    let program =
        expression.program.as_ref().map_err(|fault| Failure::Expression(format!("compilation error: {fault}")))?;
    program.evaluate(variables, budget).map_err(|error| match error {
        EvaluationError::BudgetExceeded => Failure::Budget(error.to_string()),
        other => Failure::Expression(expressions::failure(&expression.source, &other)),
    })
}
