//! What expressions may refer to.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::checker;
use crate::declared::DeclaredType;
use crate::error::CompileError;
use crate::parser;
use crate::program::Program;
use crate::stack;
use crate::types::Type;

/// The variables and types of expressions; functions are always Kubernetes' own. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    pub(crate) variables: BTreeMap<String, DeclaredType>,
    pub(crate) objects: BTreeMap<Arc<str>, DeclaredType>,
    pub(crate) mutations: bool,
}

impl Environment {
    /// Kubernetes' libraries and no variables. Source: `k8s.io/apiserver/pkg/cel/environment/base.go`.
    pub fn kubernetes() -> Self {
        Self::default()
    }

    /// Adds a variable. The objects in its type become known by their names.
    pub fn variable(mut self, name: &str, ty: DeclaredType) -> Self {
        ty.objects(&mut self.objects);
        self.variables.insert(name.to_owned(), ty);
        self
    }

    /// Adds a variable that may have any type.
    pub fn dynamic(self, name: &str) -> Self {
        self.variable(name, DeclaredType::plain(Type::Dyn))
    }

    /// Adds `authorizer` and `authorizer.requestResource`.
    pub fn authorizer(self) -> Self {
        let of = |name: &str| DeclaredType::plain(Type::Opaque(Arc::from(name)));
        self.variable("authorizer", of("kubernetes.authorization.Authorizer"))
            .variable("authorizer.requestResource", of("kubernetes.authorization.ResourceCheck"))
    }

    /// Takes `authorizer` away.
    pub fn without_authorizer(mut self) -> Self {
        self.variables.retain(|name, _| name != "authorizer" && name != "authorizer.requestResource");
        self
    }

    /// Allows expressions to make `Object{…}` and `JSONPatch{…}`, as mutating policies do.
    pub fn mutations(mut self) -> Self {
        self.mutations = true;
        self
    }

    /// Parses and checks an expression.
    pub fn compile(&self, source: &str) -> Result<Program, CompileError> {
        let compiled = stack::with_room(stack::depth_of(source), || {
            let (expr, count, depth) = parser::parse(source)?;
            let checked = stack::with_room(depth, || checker::check(self, &expr, count)).ok_or_else(Vec::new)??;
            Ok((expr, checked, depth))
        });
        let (expr, checked, depth) =
            compiled.ok_or_else(Vec::new).flatten().map_err(|findings| CompileError::new(source, findings))?;
        Ok(Program::new(source, (expr, depth), checked, self.clone()))
    }

    /// The type of a name: a variable's or a type's.
    pub(crate) fn lookup(&self, name: &str) -> Option<Type> {
        let name = name.strip_prefix('.').unwrap_or(name);
        if let Some(variable) = self.variables.get(name) {
            return Some(variable.ty().clone());
        }
        named_type(name).map(|ty| Type::Type(Arc::new(ty)))
    }
}

/// The type that a name stands for.
pub(crate) fn named_type(name: &str) -> Option<Type> {
    let opaque = |name: &str| Some(Type::Opaque(Arc::from(name)));
    match name {
        "bool" => Some(Type::Bool),
        "int" => Some(Type::Int),
        "uint" => Some(Type::Uint),
        "double" => Some(Type::Double),
        "string" => Some(Type::String),
        "bytes" => Some(Type::Bytes),
        "list" => Some(Type::list(Type::Dyn)),
        "map" => Some(Type::map(Type::Dyn, Type::Dyn)),
        "null_type" => Some(Type::Null),
        "type" => Some(Type::Type(Arc::new(Type::Dyn))),
        "optional_type" => Some(Type::optional(Type::Dyn)),
        "google.protobuf.Timestamp" => Some(Type::Timestamp),
        "google.protobuf.Duration" => Some(Type::Duration),
        "net.IP"
        | "net.CIDR"
        | "kubernetes.URL"
        | "kubernetes.Quantity"
        | "kubernetes.Semver"
        | "kubernetes.NamedFormat" => opaque(name),
        _ => None,
    }
}
