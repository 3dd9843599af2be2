//! The type checker: gives each expression its type and each call its overloads, with cel-go's findings.
//!
//! Source: cel-go's `checker/checker.go` and `checker/types.go`.

use crate::ast::{Comprehension, Entry, Expr, Field, Kind, Literal};
use crate::environment::Environment;
use crate::error::Finding;
use crate::functions::{self, Function, Overload};
use crate::types::Type;

pub(crate) mod literals;
mod unify;

use unify::Mapping;

/// What the checker found out, by the numbers of the expressions.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) types: Vec<Type>,
    pub(crate) references: Vec<Reference>,
}

/// What a name or a call stands for.
#[derive(Clone, Debug, Default)]
pub(crate) enum Reference {
    #[default]
    None,
    /// A variable or a type, perhaps with dots in its name.
    Name(String),
    /// A function with the overloads that fit; `qualified` if what looks like the target belongs to its name.
    Call { function: &'static str, overloads: Vec<&'static Overload>, qualified: bool },
}

pub(crate) fn check(environment: &Environment, expr: &Expr, count: usize) -> Result<Checked, Vec<Finding>> {
    let mut checker = Checker {
        environment,
        scopes: Vec::new(),
        mapping: Mapping::default(),
        checked: Checked { types: vec![Type::Error; count], references: vec![Reference::None; count] },
        findings: Vec::new(),
    };
    checker.check(expr);
    if checker.findings.is_empty() {
        literals::validate(expr, &mut checker.findings);
    }
    if !checker.findings.is_empty() {
        return Err(checker.findings);
    }
    let Checker { mapping, mut checked, .. } = checker;
    for ty in &mut checked.types {
        *ty = mapping.finish(ty);
    }
    Ok(checked)
}

struct Checker<'e> {
    environment: &'e Environment,
    scopes: Vec<(String, Type)>,
    mapping: Mapping,
    checked: Checked,
    findings: Vec<Finding>,
}

impl Checker<'_> {
    fn report(&mut self, offset: usize, message: String) {
        self.findings.push(Finding { offset, message });
    }

    fn undeclared(&mut self, offset: usize, name: &str) {
        self.report(offset, format!("undeclared reference to '{name}' (in container '')"));
    }

    fn set(&mut self, expr: &Expr, ty: Type) -> Type {
        self.checked.types[expr.id] = ty.clone();
        ty
    }

    fn check(&mut self, expr: &Expr) -> Type {
        let ty = match &expr.kind {
            Kind::Literal(literal) => type_of(literal),
            Kind::Ident(name) => self.ident(expr, name),
            Kind::Select { operand, field, test } => self.select(expr, operand, field, *test),
            Kind::Call { target, function, args } => self.call(expr, target.as_deref(), function, args),
            Kind::List(items) => self.list(items),
            Kind::Map(entries) => self.map(entries),
            Kind::Structure { name, fields } => self.structure(expr, name, fields),
            Kind::Comprehension(comprehension) => self.comprehension(comprehension),
        };
        self.set(expr, ty)
    }

    fn lookup(&self, name: &str) -> Option<Type> {
        let local = self.scopes.iter().rev().find(|(have, _)| have == name).map(|(_, ty)| ty.clone());
        local.or_else(|| self.environment.lookup(name))
    }

    fn ident(&mut self, expr: &Expr, name: &str) -> Type {
        match self.lookup(name) {
            Some(ty) => {
                self.checked.references[expr.id] = Reference::Name(name.trim_start_matches('.').to_owned());
                ty
            }
            None => {
                self.undeclared(expr.offset, name.trim_start_matches('.'));
                Type::Error
            }
        }
    }

    fn select(&mut self, expr: &Expr, operand: &Expr, field: &str, test: bool) -> Type {
        // A name with dots goes before a field of a variable.
        if !test
            && let Some(prefix) = qualified(operand)
            && !self.is_local(operand)
            && let Some(ty) = self.environment.lookup(&format!("{prefix}.{field}"))
        {
            self.checked.references[expr.id] = Reference::Name(format!("{prefix}.{field}"));
            return ty;
        }
        let operand = self.check(operand);
        let (ty, wrapped) = self.field_type(expr.offset, &operand, field);
        match (test, wrapped) {
            (true, _) => Type::Bool,
            (false, true) => Type::optional(ty),
            (false, false) => ty,
        }
    }

    fn is_local(&self, expr: &Expr) -> bool {
        match &expr.kind {
            Kind::Ident(name) => self.scopes.iter().any(|(have, _)| have == name),
            Kind::Select { operand, .. } => self.is_local(operand),
            _ => false,
        }
    }

    /// The type of a field and whether it was reached through an optional.
    fn field_type(&mut self, offset: usize, operand: &Type, field: &str) -> (Type, bool) {
        let operand = self.mapping.substitute(operand);
        let (target, wrapped) = match &operand {
            Type::Optional(inner) => (self.mapping.substitute(inner), true),
            _ => (operand.clone(), false),
        };
        let ty = match &target {
            Type::Map(entry) => entry.1.clone(),
            Type::Object(name) => match self.environment.objects.get(name) {
                Some(object) => match object.field(field) {
                    Some((_, ty)) => ty.ty().clone(),
                    None => {
                        self.report(offset, format!("undefined field '{field}'"));
                        Type::Error
                    }
                },
                None => Type::Dyn,
            },
            Type::Param(_) => {
                // It will turn out at run time what this is.
                self.mapping.assignable(&Type::Dyn, &target);
                Type::Dyn
            }
            other if other.is_dyn_or_error() => Type::Dyn,
            other => {
                self.report(offset, format!("type '{other}' does not support field selection"));
                Type::Dyn
            }
        };
        (ty, wrapped)
    }

    fn call(&mut self, expr: &Expr, target: Option<&Expr>, function: &str, args: &[Expr]) -> Type {
        if function == "_?._" {
            return self.optional_select(expr, args);
        }
        let types: Vec<Type> = args.iter().map(|arg| self.check(arg)).collect();
        let Some(target) = target else {
            let name = function.trim_start_matches('.');
            return match self.find(name) {
                Some((name, declared)) => self.resolve(expr, (name, declared), None, types),
                None => {
                    self.undeclared(expr.offset, name);
                    Type::Error
                }
            };
        };
        // What looks like a target may be the first part of a function's name.
        if let Some(prefix) = qualified(target)
            && let Some(found) = self.find(&format!("{}.{function}", prefix.trim_start_matches('.')))
        {
            return self.resolve(expr, found, None, types);
        }
        let target_type = self.check(target);
        match self.find(function) {
            Some(found) => self.resolve(expr, found, Some(target_type), types),
            None => {
                self.undeclared(expr.offset, function);
                Type::Error
            }
        }
    }

    fn find(&self, name: &str) -> Option<(&'static str, &'static Function)> {
        // Keys of patches are escaped where patches are made.
        let known = self.environment.mutations || !name.starts_with("jsonpatch.");
        functions::function(name).filter(|_| known)
    }

    /// Picks the overloads that fit.
    fn resolve(
        &mut self,
        expr: &Expr,
        (name, function): (&'static str, &'static Function),
        target: Option<Type>,
        args: Vec<Type>,
    ) -> Type {
        let member = target.is_some();
        let types: Vec<Type> = target.into_iter().chain(args).collect();
        let mut result: Option<Type> = None;
        let mut fitting = Vec::new();
        for overload in function.overloads.iter().filter(|it| it.member == member) {
            let (wanted, returned) = self.mapping.instantiate(&overload.args, &overload.result);
            if !self.mapping.assignable_all(&types, &wanted) {
                continue;
            }
            fitting.push(overload);
            let returned = self.mapping.substitute(&returned);
            result = Some(match result {
                None => returned,
                // Which one it is turns out at run time.
                Some(before) if before == returned => before,
                Some(_) => Type::Dyn,
            });
        }
        let qualified = !member && matches!(&expr.kind, Kind::Call { target: Some(_), .. });
        self.checked.references[expr.id] = Reference::Call { function: name, overloads: fitting, qualified };
        result.unwrap_or_else(|| {
            let shown: Vec<String> = types.iter().map(|ty| self.mapping.finish(ty).to_string()).collect();
            let signature = match member {
                true => format!("{}.({})", shown[0], shown[1..].join(", ")),
                false => format!("({})", shown.join(", ")),
            };
            self.report(expr.offset, format!("found no matching overload for '{name}' applied to '{signature}'"));
            Type::Error
        })
    }

    fn optional_select(&mut self, expr: &Expr, args: &[Expr]) -> Type {
        let operand = self.check(&args[0]);
        let Kind::Literal(Literal::Text(field)) = &args[1].kind else { return Type::Error };
        self.set(&args[1], Type::String);
        let (ty, _) = self.field_type(expr.offset, &operand, field);
        self.checked.references[expr.id] =
            Reference::Call { function: "_?._", overloads: Vec::new(), qualified: false };
        match self.mapping.substitute(&ty) {
            optional @ Type::Optional(_) => optional,
            other => Type::optional(other),
        }
    }

    fn list(&mut self, items: &[(Expr, bool)]) -> Type {
        let mut common = None;
        for (item, optional) in items {
            let mut ty = self.check(item);
            if *optional {
                ty = self.unwrap_optional(item.offset, ty);
            }
            common = Some(self.join(item.offset, common, ty));
        }
        Type::list(common.unwrap_or_else(|| self.mapping.fresh()))
    }

    fn unwrap_optional(&mut self, offset: usize, ty: Type) -> Type {
        match self.mapping.substitute(&ty) {
            Type::Optional(inner) => (*inner).clone(),
            other if other.is_dyn_or_error() => Type::Dyn,
            other => {
                let message = format!("expected type 'optional_type({other})' but found '{other}'");
                self.report(offset, message);
                other
            }
        }
    }

    fn map(&mut self, entries: &[Entry]) -> Type {
        let (mut key, mut value) = (None, None);
        for entry in entries {
            let ty = self.check(&entry.key);
            key = Some(self.join(entry.key.offset, key, ty));
            let mut ty = self.check(&entry.value);
            if entry.optional {
                ty = self.unwrap_optional(entry.value.offset, ty);
            }
            value = Some(self.join(entry.value.offset, value, ty));
        }
        let key = key.unwrap_or_else(|| self.mapping.fresh());
        Type::map(key, value.unwrap_or_else(|| self.mapping.fresh()))
    }

    /// The type of a list or map that has had items of `previous` so far: Kubernetes wants them all alike.
    fn join(&mut self, offset: usize, previous: Option<Type>, current: Type) -> Type {
        let Some(previous) = previous else { return current };
        if self.mapping.assignable(&previous, &current) {
            return unify::most_general(&previous, &current);
        }
        self.mismatch(offset, &previous, &current);
        previous
    }

    fn mismatch(&mut self, offset: usize, expected: &Type, found: &Type) {
        let (expected, found) = (self.mapping.finish(expected), self.mapping.finish(found));
        self.report(offset, format!("expected type '{expected}' but found '{found}'"));
    }

    fn structure(&mut self, expr: &Expr, name: &str, fields: &[Field]) -> Type {
        let name = name.trim_start_matches('.');
        let patch = name == "JSONPatch";
        let known = self.environment.mutations && (patch || name == "Object" || name.starts_with("Object."));
        if !known {
            match self.environment.lookup(name) {
                Some(ty) => self.report(expr.offset, format!("'{ty}' is not a message type")),
                None => self.undeclared(expr.offset, name),
            }
        }
        for field in fields {
            let mut found = self.check(&field.value);
            if field.optional {
                found = self.unwrap_optional(field.value.offset, found);
            }
            let wanted = match (patch, field.name.as_str()) {
                (true, "op" | "path" | "from") => Type::String,
                (true, "value") | (false, _) => Type::Dyn,
                (true, other) => {
                    self.report(field.offset, format!("undefined field '{other}'"));
                    Type::Error
                }
            };
            if !self.mapping.assignable(&wanted, &found) {
                let name = &field.name;
                let message = format!("expected type of field '{name}' is '{wanted}' but provided type is '{found}'");
                self.report(field.offset, message);
            }
        }
        if known { Type::object(name) } else { Type::Error }
    }

    fn comprehension(&mut self, it: &Comprehension) -> Type {
        let range = self.check(&it.range);
        let initial = self.check(&it.initial);
        let range = self.mapping.substitute(&range);
        let (key, value) = match &range {
            Type::List(item) => (Type::Int, (**item).clone()),
            Type::Map(entry) => entry.as_ref().clone(),
            Type::Param(_) => {
                // Whether this is a list or a map turns out at run time.
                self.mapping.assignable(&Type::Dyn, &range);
                (Type::Dyn, Type::Dyn)
            }
            other if other.is_dyn_or_error() => (Type::Dyn, Type::Dyn),
            other => {
                let message = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.report(it.range.offset, message);
                (Type::Error, Type::Error)
            }
        };
        self.scopes.push((it.accumulator.clone(), initial.clone()));
        let scope = self.scopes.len();
        match &it.second {
            Some(second) => {
                self.scopes.push((it.variable.clone(), key));
                self.scopes.push((second.clone(), value));
            }
            None => {
                let ty = if matches!(range, Type::List(_)) { value } else { key };
                self.scopes.push((it.variable.clone(), ty));
            }
        }
        let condition = self.check(&it.condition);
        self.expect(it.condition.offset, &Type::Bool, &condition);
        let step = self.check(&it.step);
        self.expect(it.step.offset, &initial, &step);
        self.scopes.truncate(scope);
        let result = self.check(&it.result);
        self.scopes.pop();
        self.mapping.substitute(&result)
    }

    fn expect(&mut self, offset: usize, expected: &Type, found: &Type) {
        if !self.mapping.assignable(expected, found) {
            self.mismatch(offset, expected, found);
        }
    }
}

fn type_of(literal: &Literal) -> Type {
    match literal {
        Literal::Null => Type::Null,
        Literal::Bool(_) => Type::Bool,
        Literal::Int(_) => Type::Int,
        Literal::Uint(_) => Type::Uint,
        Literal::Double(_) => Type::Double,
        Literal::Text(_) => Type::String,
        Literal::Bytes(_) => Type::Bytes,
    }
}

/// The name with dots that an expression may be.
pub(crate) fn qualified(expr: &Expr) -> Option<String> {
    match &expr.kind {
        Kind::Ident(name) => Some(name.clone()),
        Kind::Select { operand, field, test: false } => Some(format!("{}.{field}", qualified(operand)?)),
        _ => None,
    }
}
