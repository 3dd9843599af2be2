//! Expressions in CEL about requests: what they may refer to, and match conditions.
//! Source: `k8s.io/apiserver/pkg/admission/plugin/cel`; Kubernetes doc "Common Expression Language in Kubernetes".

use std::sync::LazyLock;

use serde_json::Value;
use steersman_cel::{
    Budget, CompileError, DeclaredType, Environment, EvaluationError, Program, Type, Value as CelValue,
};
use steersman_machinery::meta;

mod input;
mod types;

pub use input::Input;

/// What all the conditions of a webhook or a policy may cost together.
const CONDITIONS_BUDGET: u64 = 2_500_000;

/// What expressions may refer to besides the request and its objects.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope {
    /// `params`.
    pub params: bool,
    /// `Object{…}` and `JSONPatch{…}`.
    pub mutations: bool,
}

static PLAIN: LazyLock<Environment> = LazyLock::new(|| {
    Environment::kubernetes()
        .dynamic("object")
        .dynamic("oldObject")
        .variable("request", types::REQUEST.clone())
        .variable("namespaceObject", types::NAMESPACE.clone())
        .authorizer()
});

/// What expressions may refer to.
pub fn environment(scope: Scope) -> Environment {
    let environment = if scope.params { PLAIN.clone().dynamic("params") } else { PLAIN.clone() };
    if scope.mutations { environment.mutations() } else { environment }
}

/// What expressions may refer to when the types of the objects are known.
pub(crate) fn typed(object: DeclaredType, params: Option<DeclaredType>) -> Environment {
    let environment = Environment::kubernetes()
        .variable("object", object.clone())
        .variable("oldObject", object)
        .variable("request", types::REQUEST.clone())
        .variable("namespaceObject", types::NAMESPACE.clone())
        .authorizer();
    match params {
        Some(params) => environment.variable("params", params),
        None => environment,
    }
}

/// What may be wrong with an expression that is to have a result of one of these types, in upstream's words.
pub fn compile(environment: &Environment, source: &str, results: &[Type]) -> Result<Program, String> {
    let program =
        environment.compile(source).map_err(|CompileError { message }| format!("compilation failed: {message}"))?;
    let found = program.result_type();
    if results.is_empty() || results.contains(found) {
        return Ok(program);
    }
    let names: Vec<String> = results.iter().map(name_of).collect();
    let wanted = match &names[..] {
        [one] => one.clone(),
        several => format!("one of [{}]", several.join(" ")),
    };
    Err(format!("must evaluate to {wanted} but got {}", name_of(found)))
}

fn name_of(ty: &Type) -> String {
    match ty {
        Type::Null => "null_type".to_owned(),
        Type::Timestamp => "google.protobuf.Timestamp".to_owned(),
        Type::Duration => "google.protobuf.Duration".to_owned(),
        other => other.to_string(),
    }
}

/// The text for an expression that ran into an error.
pub fn failure(source: &str, error: &EvaluationError) -> String {
    format!("expression '{}' resulted in error: {error}", source.trim())
}

/// The conditions of a webhook or a policy: all have to hold.
#[derive(Debug, Default)]
pub struct Conditions(Vec<Condition>);

#[derive(Debug)]
struct Condition {
    source: String,
    program: Result<Program, String>,
}

impl Conditions {
    /// Those of a list `matchConditions`.
    pub fn read(list: &[Value], params: bool) -> Self {
        if list.is_empty() {
            return Self::default();
        }
        let environment = environment(Scope { params, mutations: false });
        let read = |condition: &Value| {
            let source = meta::text(condition, &["expression"]).to_owned();
            let program = compile(&environment, &source, &[Type::Bool]);
            Condition { program, source }
        };
        Self(list.iter().map(read).collect())
    }

    /// Whether there are none: everything fulfils them.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them asks the authorizer.
    pub fn ask_the_authorizer(&self) -> bool {
        self.0.iter().any(|it| it.program.as_ref().is_ok_and(|program| program.mentions("authorizer")))
    }

    /// Whether a request fulfils all of them.
    ///
    /// # Errors
    /// If none is false and some can't be told: what that means is a matter of the failure policy.
    pub fn hold(&self, input: &Input, params: Option<&Value>) -> Result<bool, String> {
        let variables = input.variables(params);
        let mut budget = Budget::new(CONDITIONS_BUDGET);
        let mut errors = Vec::new();
        for Condition { source, program } in &self.0 {
            let result = match program {
                Ok(program) => {
                    program.evaluate(&variables, &mut budget).map_err(|error| (failure(source, &error), error))
                }
                Err(fault) => {
                    errors.push(format!("compilation error: {fault}"));
                    continue;
                }
            };
            match result {
                Ok(CelValue::Bool(true)) => {}
                Ok(CelValue::Bool(false)) => return Ok(false),
                Ok(_) => errors.push(failure(source, &EvaluationError::NoSuchOverload)),
                Err((_, error @ EvaluationError::BudgetExceeded)) => return Err(error.to_string()),
                Err((text, _)) => errors.push(text),
            }
        }
        match &errors[..] {
            [] => Ok(true),
            [one] => Err(one.clone()),
            several => Err(format!("[{}]", several.join(", "))),
        }
    }
}

/// The type of `variables` with these fields.
pub(crate) fn variables_type(fields: &[(String, Type)]) -> DeclaredType {
    types::variables(fields)
}
