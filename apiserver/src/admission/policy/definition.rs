//! Policies and bindings as admission works with them: read and compiled once for each revision of their objects.

use serde_json::Value;
use steersman_cel::{Environment, Program, Type};
use steersman_machinery::labels::Selector;
use steersman_machinery::meta;

use crate::admission::expressions::{self, Conditions, Scope};
use crate::admission::matching::Criteria;

/// An expression with what compiling it gave.
#[derive(Debug)]
pub(super) struct Expression {
    pub(super) source: String,
    pub(super) program: Result<Program, String>,
}

/// A policy of either sort.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) name: String,
    pub(super) criteria: Criteria,
    /// Whether errors refuse the request.
    pub(super) fails: bool,
    /// The API version and kind of its parameters.
    pub(super) param_kind: Option<(String, String)>,
    pub(super) conditions: Conditions,
    /// In the order in which they may refer to each other.
    pub(super) variables: Vec<(String, Expression)>,
    pub(super) validations: Vec<Validation>,
    /// The keys and values of what is noted for the audit log.
    pub(super) annotations: Vec<(String, Expression)>,
    pub(super) mutations: Vec<Mutation>,
    pub(super) may_be_reinvoked: bool,
    /// Whether any of its expressions asks the authorizer.
    pub(super) asks_the_authorizer: bool,
}

/// One rule of a validating policy.
#[derive(Debug)]
pub(super) struct Validation {
    pub(super) expression: Expression,
    pub(super) message: String,
    pub(super) message_expression: Option<Expression>,
    pub(super) reason: String,
}

/// One change of a mutating policy.
#[derive(Debug)]
pub(super) enum Mutation {
    /// The expression makes an object that is merged into that of the request.
    Apply(Expression),
    /// The expression makes a list of operations.
    Patch(Expression),
}

/// A binding of either sort.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) name: String,
    pub(super) policy: String,
    /// `None`: all requests that the policy is about.
    pub(super) criteria: Option<Criteria>,
    pub(super) params: Option<ParamRef>,
    pub(super) actions: Vec<String>,
}

/// Which objects are the parameters.
#[derive(Debug)]
pub(super) struct ParamRef {
    pub(super) namespace: String,
    /// The name, or else a selector.
    pub(super) name: String,
    pub(super) selector: Result<Selector, String>,
    /// Whether it is an error that there are none.
    pub(super) must_exist: bool,
}

impl Policy {
    /// Reads a policy of either sort.
    pub(super) fn read(object: &Value) -> Self {
        let spec = object.get("spec").unwrap_or(&Value::Null);
        let list = |name: &str| meta::items(spec, &[name]);
        let param_kind = spec
            .get("paramKind")
            .filter(|kind| kind.is_object())
            .map(|kind| (meta::text(kind, &["apiVersion"]).to_owned(), meta::text(kind, &["kind"]).to_owned()));
        let mutating = !list("mutations").is_empty();
        let scope = Scope { params: param_kind.is_some(), mutations: mutating };
        let mut compiler = Compiler { environment: expressions::environment(scope), types: Vec::new() };
        let variables = list("variables").iter().map(|variable| compiler.variable(variable)).collect();
        let compiler = compiler.finished();
        let text = |name: &str| meta::text(spec, &[name]).to_owned();
        let annotation =
            |item: &Value| (meta::text(item, &["key"]).to_owned(), compiler.expression(item, &["valueExpression"]));
        let policy = Self {
            name: meta::name(object).to_owned(),
            criteria: Criteria::policy(spec.get("matchConstraints").unwrap_or(&Value::Null)),
            fails: text("failurePolicy") != "Ignore",
            conditions: Conditions::read(list("matchConditions"), param_kind.is_some()),
            param_kind,
            variables,
            validations: list("validations").iter().map(|item| compiler.validation(item)).collect(),
            annotations: list("auditAnnotations").iter().map(annotation).collect(),
            mutations: list("mutations").iter().filter_map(|item| compiler.mutation(item)).collect(),
            may_be_reinvoked: text("reinvocationPolicy") == "IfNeeded",
            asks_the_authorizer: false,
        };
        Self { asks_the_authorizer: policy.needs_the_authorizer(), ..policy }
    }

    fn needs_the_authorizer(&self) -> bool {
        let validations = self.validations.iter().flat_map(|it| [Some(&it.expression), it.message_expression.as_ref()]);
        let mutations = self.mutations.iter().map(|(Mutation::Apply(it) | Mutation::Patch(it))| it);
        let named = self.variables.iter().chain(&self.annotations).map(|(_, it)| it);
        let mut all = validations.flatten().chain(mutations).chain(named);
        let asks = |it: &Expression| it.program.as_ref().is_ok_and(|program| program.mentions("authorizer"));
        self.conditions.ask_the_authorizer() || all.any(asks)
    }
}

/// Compiles the expressions of one policy.
struct Compiler {
    environment: Environment,
    types: Vec<(String, Type)>,
}

impl Compiler {
    /// Sees the variables before it.
    fn variable(&mut self, variable: &Value) -> (String, Expression) {
        let name = meta::text(variable, &["name"]).to_owned();
        let so_far = self.environment.clone().variable("variables", expressions::variables_type(&self.types));
        let source = meta::text(variable, &["expression"]).to_owned();
        let program = expressions::compile(&so_far, &source, &[]);
        let ty = program.as_ref().map_or(Type::Dyn, |program| program.result_type().clone());
        self.types.push((name.clone(), ty));
        (name, Expression { source, program })
    }

    fn finished(self) -> Self {
        let environment = self.environment.variable("variables", expressions::variables_type(&self.types));
        Self { environment, ..self }
    }

    fn expression(&self, item: &Value, steps: &[&str]) -> Expression {
        let source = meta::text(item, steps).to_owned();
        Expression { program: expressions::compile(&self.environment, &source, &[]), source }
    }

    fn validation(&self, item: &Value) -> Validation {
        Validation {
            expression: self.expression(item, &["expression"]),
            message: meta::text(item, &["message"]).trim().to_owned(),
            message_expression: meta::at(item, &["messageExpression"])
                .filter(|it| it.as_str().is_some_and(|it| !it.is_empty()))
                .map(|_| {
                    let environment = self.environment.clone().without_authorizer();
                    Self { environment, types: Vec::new() }.expression(item, &["messageExpression"])
                }),
            reason: meta::text(item, &["reason"]).to_owned(),
        }
    }

    fn mutation(&self, item: &Value) -> Option<Mutation> {
        match meta::text(item, &["patchType"]) {
            "ApplyConfiguration" => Some(Mutation::Apply(self.expression(item, &["applyConfiguration", "expression"]))),
            "JSONPatch" => Some(Mutation::Patch(self.expression(item, &["jsonPatch", "expression"]))),
            _ => None,
        }
    }
}

impl Binding {
    /// Reads a binding of either sort.
    pub(super) fn read(object: &Value) -> Self {
        let spec = object.get("spec").unwrap_or(&Value::Null);
        let actions = meta::items(spec, &["validationActions"]).iter();
        Self {
            name: meta::name(object).to_owned(),
            policy: meta::text(spec, &["policyName"]).to_owned(),
            criteria: spec.get("matchResources").filter(|it| it.is_object()).map(Criteria::policy),
            params: spec.get("paramRef").filter(|it| it.is_object()).map(|reference| ParamRef {
                namespace: meta::text(reference, &["namespace"]).to_owned(),
                name: meta::text(reference, &["name"]).to_owned(),
                selector: reference.get("selector").map_or(Ok(Selector::nothing()), |selector| {
                    Selector::from_label_selector(selector).map_err(|error| error.to_string())
                }),
                must_exist: meta::text(reference, &["parameterNotFoundAction"]) == "Deny",
            }),
            actions: actions.filter_map(Value::as_str).map(str::to_owned).collect(),
        }
    }
}
