//! What calls may cost.

use super::{CostEstimate, Entries, Estimator, ONE};
use crate::ast::{Expr, Kind, Literal};
use crate::checker::Reference;
use crate::types::Type;

const TEXT_FACTOR: f64 = 0.1;
const REGEX_FACTOR: f64 = 0.25;

/// A cost and, if it is known, the size of the result.
type Call = (CostEstimate, Option<CostEstimate>);

impl<'e> Estimator<'e> {
    pub(super) fn call(
        &mut self,
        expr: &'e Expr,
        target: Option<&'e Expr>,
        function: &str,
        args: &'e [Expr],
    ) -> CostEstimate {
        if function == "dyn" && target.is_none() && args.len() == 1 {
            let cost = self.cost(&args[0]);
            let (size, entries) = (self.size(&args[0]), self.entries_of(&args[0]));
            self.remember(expr, size, entries);
            return cost.add(ONE);
        }
        let costs: Vec<CostEstimate> = args.iter().map(|arg| self.cost(arg)).collect();
        let Reference::Call { function, overloads, qualified } = self.reference(expr) else {
            return CostEstimate::default();
        };
        let target = target.filter(|_| !qualified);
        let sum = target.map_or(CostEstimate::default(), |target| self.cost(target));
        if *function == "_?._" {
            return sum.add(total(&costs)).add(ONE);
        }
        let mut cost: Option<CostEstimate> = None;
        let mut size: Option<CostEstimate> = None;
        for overload in overloads {
            let (call, result) = self.overload(expr, (function, overload.id), target, (args, &costs));
            cost = Some(cost.map_or(call, |cost| cost.union(call)));
            size = match (size, result) {
                (Some(size), Some(result)) => Some(size.union(result)),
                (size, result) => size.or(result),
            };
            if let "index_list" | "index_map" = overload.id {
                size = self.entries_of(&args[0]).map(|entries| entries.value);
                let step = if overload.id == "index_list" { "@items" } else { "@values" };
                self.extend(expr, &args[0], step);
            }
            if size.is_none() {
                size = self.size(expr);
            }
        }
        self.remember(expr, size, None);
        sum.add(cost.unwrap_or_default())
    }

    fn overload(
        &mut self,
        expr: &Expr,
        (function, overload): (&str, &str),
        target: Option<&'e Expr>,
        (args, costs): (&'e [Expr], &[CostEstimate]),
    ) -> Call {
        let args_cost = total(costs);
        if let Some((cost, size)) = self.library(function, overload, target, args) {
            return (cost.add(args_cost), size);
        }
        match overload {
            "logical_and" | "logical_or" => (CostEstimate { min: costs[0].min, max: costs[0].add(costs[1]).max }, None),
            "conditional" => {
                let size = self.size_or_unknown(&args[1]).union(self.size_or_unknown(&args[2]));
                let entries = union(self.entries_of(&args[1]), self.entries_of(&args[2]));
                self.remember(expr, None, entries);
                (costs[0].add(costs[1].union(costs[2])), Some(size))
            }
            _ => {
                let (cost, size) = self.standard(expr, overload, target, args);
                (cost.add(args_cost), size)
            }
        }
    }

    /// cel-go's own functions.
    fn standard(&mut self, expr: &Expr, overload: &str, target: Option<&'e Expr>, args: &'e [Expr]) -> Call {
        let text = |size: CostEstimate| size.factor(TEXT_FACTOR);
        match (overload, target) {
            ("string_format", Some(target)) => {
                let size = self.size_or_unknown(target);
                let result = size.add(self.size_or_unknown(&args[0]));
                (text(size), Some(result))
            }
            ("string_to_bytes", _) => {
                let size = self.size_or_unknown(&args[0]);
                (text(size), Some(CostEstimate { min: size.min, max: size.max.saturating_mul(4) }))
            }
            ("bytes_to_string", _) => {
                let size = self.size_or_unknown(&args[0]);
                (text(size), Some(CostEstimate { min: size.min / 4, max: size.max }))
            }
            ("strings_quote", _) => {
                let size = self.size_or_unknown(&args[0]);
                let max = size.max.saturating_mul(2).saturating_add(2);
                (text(size), Some(CostEstimate { min: size.min.saturating_add(2), max }))
            }
            ("starts_with_string" | "ends_with_string", _) => (text(self.size_or_unknown(&args[0])), None),
            ("in_list", _) => (self.size_or_unknown(&args[1]).factor(1.0), None),
            ("matches_string", Some(target)) => (self.regex(target, &args[0]), None),
            ("contains_string", Some(target)) => {
                let whole = text(self.size_or_unknown(target));
                (whole.multiply(text(self.size_or_unknown(&args[0]))), None)
            }
            ("add_string" | "add_bytes" | "add_list", _) => {
                let size = self.size_or_unknown(&args[0]).add(self.size_or_unknown(&args[1]));
                let entries = union(self.entries_of(&args[0]), self.entries_of(&args[1]));
                self.remember(expr, None, entries);
                (if overload == "add_list" { ONE } else { text(size) }, Some(size))
            }
            (
                "less_string"
                | "greater_string"
                | "less_equals_string"
                | "greater_equals_string"
                | "less_bytes"
                | "greater_bytes"
                | "less_equals_bytes"
                | "greater_equals_bytes"
                | "equals"
                | "not_equals",
                _,
            ) => {
                let max = self.size_or_unknown(&args[0]).max.min(self.size_or_unknown(&args[1]).max);
                (text(CostEstimate { min: u64::from(max > 0), max }), None)
            }
            _ => (ONE, None),
        }
    }

    fn regex(&mut self, text: &Expr, pattern: &Expr) -> CostEstimate {
        let text = self.size_or_unknown(text).add(ONE).factor(TEXT_FACTOR);
        text.multiply(self.size_or_unknown(pattern).factor(REGEX_FACTOR))
    }

    /// Kubernetes' functions.
    fn library(&mut self, function: &str, overload: &str, target: Option<&'e Expr>, args: &'e [Expr]) -> Option<Call> {
        match (function, target) {
            ("check", _) => Some((CostEstimate::fixed(350_000), None)),
            (
                "serviceAccount"
                | "path"
                | "group"
                | "resource"
                | "subresource"
                | "namespace"
                | "name"
                | "allowed"
                | "reason"
                | "error"
                | "errored"
                | "masked"
                | "prefixLength"
                | "family"
                | "isUnspecified"
                | "isLoopback"
                | "isLinkLocalMulticast"
                | "isLinkLocalUnicast"
                | "sign"
                | "asInteger"
                | "isInteger"
                | "asApproximateFloat"
                | "isGreaterThan"
                | "isLessThan"
                | "compareTo"
                | "add"
                | "sub",
                _,
            ) => Some((ONE, None)),
            ("isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf", Some(target)) => {
                Some((self.traversal(target), None))
            }
            ("url", None) => Some((self.size_or_unknown(&args[0]).factor(TEXT_FACTOR), None)),
            ("lowerAscii" | "upperAscii" | "substring" | "trim", Some(target)) => {
                let size = self.size_or_unknown(target);
                Some((size.factor(TEXT_FACTOR), Some(size)))
            }
            ("replace", Some(target)) => Some(self.replace(target, args)),
            ("split", Some(target)) => {
                let size = self.size_or_unknown(target);
                let limit = match args.get(1).map(|limit| &limit.kind) {
                    Some(Kind::Literal(Literal::Int(limit))) => u64::try_from(*limit).ok(),
                    _ => None,
                };
                let max = limit.unwrap_or(size.max);
                Some((size.factor(2.0 * TEXT_FACTOR), Some(CostEstimate { min: 0, max })))
            }
            ("join", Some(target)) => Some(self.join(target, args)),
            ("find" | "findAll", Some(target)) => {
                let max = self.size_or_unknown(target).max;
                Some((self.regex(target, &args[0]), Some(CostEstimate { min: 0, max })))
            }
            ("ip", Some(_)) => Some((ONE, None)),
            ("containsIP" | "containsCIDR", Some(_)) => Some((self.network(overload, args), None)),
            _ => None,
        }
    }

    fn traversal(&mut self, target: &Expr) -> CostEstimate {
        let size = self.size_or_unknown(target);
        let Type::List(item) = self.ty(target) else { return size.factor(TEXT_FACTOR) };
        let mut each = ONE;
        if matches!(**item, Type::String | Type::Bytes) {
            each = each.add(self.item_size(target).factor(TEXT_FACTOR));
        }
        size.multiply(each)
    }

    /// The size of the items of a list, by its schema.
    fn item_size(&self, list: &Expr) -> CostEstimate {
        let path = self.path(list).map(|mut path| {
            path.push("@items".to_owned());
            path
        });
        path.and_then(|path| self.declared_size(&path)).unwrap_or(CostEstimate::UNKNOWN)
    }

    fn replace(&mut self, target: &Expr, args: &[Expr]) -> Call {
        let size = self.size_or_unknown(target);
        let (old, new) = (self.size_or_unknown(&args[0]), self.size_or_unknown(&args[1]));
        let times = |size: u64, of: u64| (size as f64 / of as f64).ceil() as u64;
        // An empty text stands before and after every character.
        let (most, kept) = match (old.min, new.max <= old.min) {
            (0, _) => (size.max.saturating_add(1), size.max),
            (_, true) => (0, size.max),
            (shortest, false) => (times(size.max, shortest), 0),
        };
        let (least, kept_least) = match (old.max, old.max <= new.min) {
            (0, _) => (size.min.saturating_add(1), size.min),
            (_, true) => (0, size.min),
            (longest, false) => (times(size.min, longest), 0),
        };
        let count = CostEstimate { min: least, max: most };
        let result = count.multiply(new).add(CostEstimate { min: kept_least, max: kept });
        (size.factor(2.0 * TEXT_FACTOR), Some(result))
    }

    fn join(&mut self, target: &Expr, args: &[Expr]) -> Call {
        let count = self.size_or_unknown(target);
        let mut size = count.multiply(self.item_size(target));
        if let Some(separator) = args.first() {
            let between = CostEstimate { min: count.min.saturating_sub(1), max: count.max.saturating_sub(1) };
            size = size.add(self.size_or_unknown(separator).multiply(between));
        }
        (size.factor(TEXT_FACTOR), Some(size))
    }

    fn network(&mut self, overload: &str, args: &[Expr]) -> CostEstimate {
        let address = CostEstimate { min: 4, max: 16 };
        let mut cost = address.add(address).factor(TEXT_FACTOR);
        if overload.starts_with("cidr_contains_cidr") {
            cost = cost.add(address.factor(TEXT_FACTOR)).add(ONE);
        }
        if overload.ends_with("_string") {
            cost = cost.add(self.size_or_unknown(&args[0]).factor(TEXT_FACTOR));
        }
        cost
    }
}

fn total(costs: &[CostEstimate]) -> CostEstimate {
    costs.iter().fold(CostEstimate::default(), |sum, cost| sum.add(*cost))
}

fn union(one: Option<Entries>, other: Option<Entries>) -> Option<Entries> {
    let (one, other) = (one?, other?);
    Some(Entries { list: one.list, key: one.key.union(other.key), value: one.value.union(other.value) })
}
