//! Which type may stand where another is wanted, and what types that are not known yet stand for.
//!
//! Source: cel-go's `checker/types.go`.

use std::collections::BTreeMap;

use crate::types::Type;

/// What is known about the types that stand for others.
#[derive(Clone, Debug, Default)]
pub(super) struct Mapping {
    known: BTreeMap<u32, Type>,
    next: u32,
}

impl Mapping {
    /// A type that nothing is known about.
    pub(super) fn fresh(&mut self) -> Type {
        self.next += 1;
        Type::Param(self.next - 1)
    }

    /// The types of an overload with fresh types for its letters.
    pub(super) fn instantiate(&mut self, args: &[Type], result: &Type) -> (Vec<Type>, Type) {
        fn replace(ty: &Type, first: u32) -> Type {
            match ty {
                // The letters are the highest numbers.
                Type::Param(letter) => Type::Param(first + (u32::MAX - letter)),
                other => other.with_parameters(&mut |inner| replace(inner, first)),
            }
        }
        let first = self.next;
        self.next += 2;
        (args.iter().map(|ty| replace(ty, first)).collect(), replace(result, first))
    }

    /// The type with everything filled in that is known.
    pub(super) fn substitute(&self, ty: &Type) -> Type {
        match ty {
            Type::Param(number) => match self.known.get(number) {
                Some(known) => self.substitute(known),
                None => ty.clone(),
            },
            other => other.with_parameters(&mut |inner| self.substitute(inner)),
        }
    }

    /// The same, with `dyn` for what never became known.
    pub(super) fn finish(&self, ty: &Type) -> Type {
        match self.substitute(ty) {
            Type::Param(_) => Type::Dyn,
            other => other.with_parameters(&mut |inner| self.finish(inner)),
        }
    }

    /// Whether a value of the second type may stand where the first is wanted; learns from it if so.
    pub(super) fn assignable(&mut self, wanted: &Type, found: &Type) -> bool {
        let mut attempt = self.clone();
        let fits = attempt.fits(wanted, found);
        if fits {
            *self = attempt;
        }
        fits
    }

    /// The same for lists of types.
    pub(super) fn assignable_all(&mut self, found: &[Type], wanted: &[Type]) -> bool {
        let mut attempt = self.clone();
        let fits = found.len() == wanted.len() && found.iter().zip(wanted).all(|(one, two)| attempt.fits(one, two));
        if fits {
            *self = attempt;
        }
        fits
    }

    fn fits(&mut self, one: &Type, two: &Type) -> bool {
        if let Type::Param(_) = two {
            let (valid, known) = self.stands_for(one, two);
            if valid || known {
                return valid;
            }
        }
        if let Type::Param(_) = one {
            return self.stands_for(two, one).0;
        }
        if one.is_dyn_or_error() || two.is_dyn_or_error() {
            return true;
        }
        match (one, two) {
            (Type::Null, other) | (other, Type::Null) => nullable(other),
            (Type::List(one), Type::List(two)) | (Type::Optional(one), Type::Optional(two)) => self.fits(one, two),
            (Type::Map(one), Type::Map(two)) => self.fits(&one.0, &two.0) && self.fits(&one.1, &two.1),
            (Type::Type(_), Type::Type(_)) => true,
            (one, two) => one == two,
        }
    }

    /// Whether the type may stand for the unknown one, and whether that was known already.
    fn stands_for(&mut self, ty: &Type, unknown: &Type) -> (bool, bool) {
        if ty == unknown {
            return (true, true);
        }
        let Type::Param(number) = unknown else { return (false, false) };
        if let Some(known) = self.known.get(number).cloned() {
            if *ty == known {
                return (true, true);
            }
            if !self.fits(ty, &known) {
                return (false, true);
            }
            let general = most_general(ty, &known);
            if !self.refers(&general, *number) {
                self.known.insert(*number, general);
            }
            return (true, true);
        }
        if self.refers(ty, *number) {
            return (false, false);
        }
        self.known.insert(*number, ty.clone());
        (true, false)
    }

    /// Whether a type contains that unknown one.
    fn refers(&self, ty: &Type, number: u32) -> bool {
        match ty {
            Type::Param(other) if *other == number => true,
            Type::Param(other) => self.known.get(other).is_some_and(|known| self.refers(known, number)),
            other => other.parameters().into_iter().any(|inner| self.refers(inner, number)),
        }
    }
}

fn nullable(ty: &Type) -> bool {
    matches!(ty, Type::Null | Type::Duration | Type::Timestamp | Type::Object(_) | Type::Opaque(_) | Type::Optional(_))
}

/// The type that both are.
pub(super) fn most_general(one: &Type, two: &Type) -> Type {
    if as_general(one, two) { one.clone() } else { two.clone() }
}

fn as_general(one: &Type, two: &Type) -> bool {
    match (one, two) {
        (Type::Dyn | Type::Error, _) => true,
        (_, Type::Dyn | Type::Error) => false,
        (Type::Param(_), _) => true,
        (_, Type::Param(_)) => false,
        (Type::Null, other) => !nullable(other) || matches!(other, Type::Null),
        (_, Type::Null) => true,
        (Type::List(one), Type::List(two)) | (Type::Optional(one), Type::Optional(two)) => as_general(one, two),
        (Type::Map(one), Type::Map(two)) => as_general(&one.0, &two.0) && as_general(&one.1, &two.1),
        (one, two) => one == two,
    }
}
