//! What an expression may cost, before it runs.
//!
//! Source: cel-go's `checker/cost.go` and `k8s.io/apiserver/pkg/cel/library/cost.go`. Definitions that were accepted once must
//! stay acceptable: the figures are upstream's to the unit.

use std::collections::BTreeMap;

use crate::ast::{ACCUMULATOR, Comprehension, Entry, Expr, Kind, Literal};
use crate::checker::{Checked, Reference};
use crate::declared::DeclaredType;
use crate::environment::Environment;
use crate::types::Type;

mod calls;

/// A range of costs or of sizes. Arithmetic stops at the largest number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CostEstimate {
    /// At least.
    pub min: u64,
    /// At most.
    pub max: u64,
}

impl CostEstimate {
    pub(crate) const UNKNOWN: Self = Self { min: 0, max: u64::MAX };

    pub(crate) const fn fixed(value: u64) -> Self {
        Self { min: value, max: value }
    }

    fn add(self, other: Self) -> Self {
        Self { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    fn multiply(self, other: Self) -> Self {
        Self { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    fn factor(self, factor: f64) -> Self {
        // Casts of floating point numbers stop at the bounds.
        let scaled = |value: u64| (value as f64 * factor).ceil() as u64;
        Self { min: scaled(self.min), max: scaled(self.max) }
    }

    fn union(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

/// The sizes of what a list or map holds.
#[derive(Clone, Copy, Debug)]
struct Entries {
    list: bool,
    key: CostEstimate,
    value: CostEstimate,
}

/// A loop variable, an accumulator or a bound name.
struct Local<'e> {
    name: &'e str,
    path: Option<Vec<String>>,
    size: Option<CostEstimate>,
    entries: Option<Entries>,
}

struct Estimator<'e> {
    checked: &'e Checked,
    environment: &'e Environment,
    locals: Vec<Local<'e>>,
    paths: BTreeMap<usize, Vec<String>>,
    sizes: BTreeMap<usize, CostEstimate>,
    entries: BTreeMap<usize, Entries>,
}

pub(crate) fn estimate(expr: &Expr, checked: &Checked, environment: &Environment) -> CostEstimate {
    let mut estimator = Estimator {
        checked,
        environment,
        locals: Vec::new(),
        paths: BTreeMap::new(),
        sizes: BTreeMap::new(),
        entries: BTreeMap::new(),
    };
    estimator.cost(expr)
}

const ONE: CostEstimate = CostEstimate::fixed(1);

impl<'e> Estimator<'e> {
    fn ty(&self, expr: &Expr) -> &'e Type {
        &self.checked.types[expr.id]
    }

    fn cost(&mut self, expr: &'e Expr) -> CostEstimate {
        match &expr.kind {
            Kind::Literal(_) => CostEstimate::fixed(0),
            Kind::Ident(name) => {
                let path = match self.local(name) {
                    Some(local) => local.path.clone(),
                    None => Some(vec![name.clone()]),
                };
                if let Some(path) = path {
                    self.paths.insert(expr.id, path);
                }
                ONE
            }
            Kind::Select { operand, field, test } => self.select(expr, operand, field, *test),
            Kind::Call { target, function, args } => self.call(expr, target.as_deref(), function, args),
            Kind::List(items) => self.list(expr, items),
            Kind::Map(entries) => self.map(expr, entries),
            Kind::Structure { fields, .. } => {
                let sum = fields.iter().fold(CostEstimate::fixed(0), |sum, it| sum.add(self.cost(&it.value)));
                sum.add(CostEstimate::fixed(40))
            }
            Kind::Comprehension(it) if is_bind(it) => self.bind(expr, it),
            Kind::Comprehension(it) => self.comprehension(expr, it),
        }
    }

    fn local(&self, name: &str) -> Option<&Local<'e>> {
        self.locals.iter().rev().find(|local| local.name == name)
    }

    fn path(&self, expr: &Expr) -> Option<Vec<String>> {
        if let Kind::Ident(name) = &expr.kind
            && let Some(local) = self.local(name)
        {
            return local.path.clone();
        }
        self.paths.get(&expr.id).cloned()
    }

    /// Where what is taken from an expression is. What is taken from a result of a call begins a path of its own.
    fn path_into(&self, from: &Expr, step: &str) -> Vec<String> {
        let mut path = self.path(from).unwrap_or_default();
        path.push(step.to_owned());
        path
    }

    fn extend(&mut self, expr: &Expr, from: &Expr, step: &str) {
        let path = self.path_into(from, step);
        self.paths.insert(expr.id, path);
    }

    fn select(&mut self, expr: &'e Expr, operand: &'e Expr, field: &str, test: bool) -> CostEstimate {
        let mut sum = self.cost(operand);
        if test {
            return sum;
        }
        if matches!(self.ty(operand), Type::Map(_) | Type::Object(_) | Type::Param(_)) {
            sum = sum.add(ONE);
        }
        self.extend(expr, operand, field);
        sum
    }

    fn list(&mut self, expr: &Expr, items: &'e [(Expr, bool)]) -> CostEstimate {
        let mut sum = CostEstimate::fixed(10);
        let mut size: Option<CostEstimate> = None;
        for (item, _) in items {
            sum = sum.add(self.cost(item));
            let of = self.size_or_unknown(item);
            size = Some(size.map_or(of, |size| size.union(of)));
        }
        let value = size.unwrap_or_default();
        self.entries.insert(expr.id, Entries { list: true, key: ONE, value });
        sum
    }

    fn map(&mut self, expr: &Expr, entries: &'e [Entry]) -> CostEstimate {
        let mut sum = CostEstimate::fixed(30);
        let mut sizes: Option<(CostEstimate, CostEstimate)> = None;
        for entry in entries {
            sum = sum.add(self.cost(&entry.key)).add(self.cost(&entry.value));
            let (key, value) = (self.size_or_unknown(&entry.key), self.size_or_unknown(&entry.value));
            sizes = Some(sizes.map_or((key, value), |(keys, values)| (keys.union(key), values.union(value))));
        }
        let (key, value) = sizes.unwrap_or_default();
        self.entries.insert(expr.id, Entries { list: false, key, value });
        sum
    }

    fn bind(&mut self, expr: &Expr, it: &'e Comprehension) -> CostEstimate {
        let sum = self.cost(&it.range).add(self.cost(&it.initial));
        self.push_bound(&it.accumulator, &it.initial);
        let sum = sum.add(self.cost(&it.result));
        let (size, entries) = (self.size(&it.result), self.entries_of(&it.result));
        self.locals.pop();
        self.remember(expr, size, entries);
        sum
    }

    fn remember(&mut self, expr: &Expr, size: Option<CostEstimate>, entries: Option<Entries>) {
        if let Some(size) = size {
            self.sizes.insert(expr.id, size);
        }
        if let Some(entries) = entries {
            self.entries.insert(expr.id, entries);
        }
    }

    fn push_bound(&mut self, name: &'e str, initial: &Expr) {
        let local =
            Local { name, path: self.path(initial), size: self.size(initial), entries: self.entries_of(initial) };
        self.locals.push(local);
    }

    fn comprehension(&mut self, expr: &Expr, it: &'e Comprehension) -> CostEstimate {
        let mut sum = self.cost(&it.range).add(self.cost(&it.initial));
        self.push_bound(&it.accumulator, &it.initial);
        let depth = self.locals.len();
        let entries = self.entries_of(&it.range);
        let list = entries.map_or(matches!(self.ty(&it.range), Type::List(_)), |entries| entries.list);
        let mut push = |name: &'e str, is_key: bool| {
            let step = match (is_key, list) {
                (true, true) => "@indices",
                (true, false) => "@keys",
                (false, true) => "@items",
                (false, false) => "@values",
            };
            let path = Some(self.path_into(&it.range, step));
            let size = entries.map(|entries| if is_key { entries.key } else { entries.value });
            self.locals.push(Local { name, path, size, entries: None });
        };
        match &it.second {
            Some(second) => {
                push(&it.variable, true);
                push(second, false);
            }
            None => push(&it.variable, !list),
        }
        let each = self.cost(&it.condition).add(self.cost(&it.step));
        let step_entries = self.entries_of(&it.step);
        self.locals.truncate(depth);
        sum = sum.add(self.cost(&it.result));
        self.locals.pop();
        let count = self.size_or_unknown(&it.range);
        sum = sum.add(count.multiply(each));
        match &it.initial.kind {
            Kind::Literal(_) => {
                let size = self.size(&it.initial);
                self.remember(expr, size, None);
            }
            Kind::List(_) | Kind::Map(_) => self.remember(expr, Some(count), step_entries),
            _ => {}
        }
        sum
    }

    fn size_or_unknown(&mut self, expr: &Expr) -> CostEstimate {
        self.size(expr).unwrap_or(CostEstimate::UNKNOWN)
    }

    fn size(&mut self, expr: &Expr) -> Option<CostEstimate> {
        if let Some(size) = self.sizes.get(&expr.id) {
            return Some(*size);
        }
        if let Some(size) = literal_size(expr) {
            return Some(size);
        }
        if let Some(size) = self.path(expr).and_then(|path| self.declared_size(&path)) {
            self.sizes.insert(expr.id, size);
            return Some(size);
        }
        if is_scalar(self.ty(expr)) {
            return Some(ONE);
        }
        match &expr.kind {
            Kind::Ident(name) => self.local(name).and_then(|local| local.size),
            _ => None,
        }
    }

    /// The size that the schema allows at that path.
    fn declared_size(&self, path: &[String]) -> Option<CostEstimate> {
        // Upstream takes every path for one that begins at `self`: so the name of a type has a size as well, and the items of
        // what a call returns have that of `self`.
        let variables = &self.environment.variables;
        let mut node: &DeclaredType = variables.get(path.first()?).or_else(|| variables.get("self"))?;
        for step in &path[1..] {
            node = match step.as_str() {
                "@items" | "@values" => node.element()?,
                // Keys have no declared size, which counts as none.
                "@keys" if !node.is_object() => return Some(CostEstimate::fixed(0)),
                "@keys" | "@indices" => return None,
                field => node.field(field)?.1,
            };
        }
        // What no schema describes has no known size.
        let known = node.max_elements() > 0 || !matches!(node.ty(), Type::Dyn | Type::Opaque(_));
        known.then_some(CostEstimate { min: 0, max: node.max_elements() })
    }

    fn entries_of(&self, expr: &Expr) -> Option<Entries> {
        self.entries.get(&expr.id).copied().or_else(|| match &expr.kind {
            Kind::Ident(name) => self.local(name).and_then(|local| local.entries),
            _ => None,
        })
    }

    fn reference(&self, expr: &Expr) -> &'e Reference {
        &self.checked.references[expr.id]
    }
}

fn literal_size(expr: &Expr) -> Option<CostEstimate> {
    Some(CostEstimate::fixed(match &expr.kind {
        Kind::Literal(Literal::Text(text)) => text.chars().count() as u64,
        Kind::Literal(Literal::Bytes(bytes)) => bytes.len() as u64,
        Kind::Literal(_) => 1,
        Kind::List(items) => items.len() as u64,
        Kind::Map(entries) => entries.len() as u64,
        _ => return None,
    }))
}

fn is_scalar(ty: &Type) -> bool {
    match ty {
        Type::Bool | Type::Double | Type::Duration | Type::Int | Type::Timestamp | Type::Uint => true,
        Type::Optional(inner) => is_scalar(inner),
        _ => false,
    }
}

/// Whether a loop only gives a name to a value.
fn is_bind(it: &Comprehension) -> bool {
    matches!(&it.range.kind, Kind::List(items) if items.is_empty())
        && matches!(it.condition.kind, Kind::Literal(Literal::Bool(false)))
        && it.accumulator != ACCUMULATOR
}
