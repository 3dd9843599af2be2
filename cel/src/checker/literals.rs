//! Texts that stand where durations, times and regular expressions are expected are looked at before evaluation.
//!
//! Source: cel-go's `cel/validator.go`.

use crate::ast::{Expr, Kind, Literal};
use crate::error::Finding;
use crate::value::{parse_duration, parse_timestamp};

pub(super) fn validate(expr: &Expr, findings: &mut Vec<Finding>) {
    if let Kind::Call { function, target, args } = &expr.kind {
        let wrong = |valid: fn(&str) -> bool, at: usize| match args.get(at).map(|arg| (&arg.kind, arg.offset)) {
            Some((Kind::Literal(Literal::Text(text)), offset)) if !valid(text) => Some(offset),
            _ => None,
        };
        let offset = match (function.as_str(), target, args.len()) {
            ("duration", None, 1) => wrong(|text| parse_duration(text).is_some(), 0),
            ("timestamp", None, 1) => wrong(|text| parse_timestamp(text).is_some(), 0),
            ("matches", Some(_), 1) => wrong(is_regex, 0),
            ("matches", None, 2) => wrong(is_regex, 1),
            _ => None,
        };
        findings.extend(offset.map(|offset| Finding { offset, message: format!("invalid {function} argument") }));
    }
    children(expr, &mut |child| validate(child, findings));
}

fn is_regex(text: &str) -> bool {
    crate::library::regex::compile(text).is_ok()
}

/// Calls something on each part of an expression.
pub(crate) fn children<'e>(expr: &'e Expr, visit: &mut dyn FnMut(&'e Expr)) {
    match &expr.kind {
        Kind::Literal(_) | Kind::Ident(_) => {}
        Kind::Select { operand, .. } => visit(operand),
        Kind::Call { target, args, .. } => {
            if let Some(target) = target {
                visit(target);
            }
            args.iter().for_each(visit);
        }
        Kind::List(items) => items.iter().for_each(|(item, _)| visit(item)),
        Kind::Map(entries) => {
            for entry in entries {
                visit(&entry.key);
                visit(&entry.value);
            }
        }
        Kind::Structure { fields, .. } => fields.iter().for_each(|field| visit(&field.value)),
        Kind::Comprehension(it) => {
            for part in [&it.range, &it.initial, &it.condition, &it.step, &it.result] {
                visit(part);
            }
        }
    }
}
