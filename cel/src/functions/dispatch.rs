//! From the names of functions to what carries them out.

use super::Implementation;
use crate::library::{
    authorization, conversions, formats, lists, network, operators, optional, quantity, regex, semver, strings, time,
    url,
};

/// What carries the function of that name out.
pub(crate) fn implementation(name: &str) -> Option<Implementation> {
    operator(name).or_else(|| common(name)).or_else(|| extension(name)).or_else(|| kubernetes(name))
}

fn operator(name: &str) -> Option<Implementation> {
    Some(match name {
        "_==_" => operators::equals,
        "_!=_" => operators::not_equals,
        "!_" => operators::not,
        "_+_" => operators::add,
        "_-_" => operators::subtract,
        "_*_" => operators::multiply,
        "_/_" => operators::divide,
        "_%_" => operators::modulo,
        "-_" => operators::negate,
        "_<_" => operators::less,
        "_<=_" => operators::less_equals,
        "_>_" => operators::greater,
        "_>=_" => operators::greater_equals,
        "_[_]" => operators::index,
        "_[?_]" => operators::optional_index,
        "@in" => operators::contained,
        _ => return None,
    })
}

fn common(name: &str) -> Option<Implementation> {
    Some(match name {
        "size" => operators::size,
        "bool" => conversions::to_bool,
        "bytes" => conversions::to_bytes,
        "double" => conversions::to_double,
        "duration" => conversions::to_duration,
        "dyn" => conversions::to_dyn,
        "int" => conversions::to_int,
        "string" => conversions::to_string,
        "timestamp" => conversions::to_timestamp,
        "type" => conversions::to_type,
        "uint" => conversions::to_uint,
        "contains" => strings::contains,
        "endsWith" => strings::ends_with,
        "startsWith" => strings::starts_with,
        "matches" => regex::matches,
        "getFullYear" => time::full_year,
        "getMonth" => time::month,
        "getDayOfYear" => time::day_of_year,
        "getDayOfMonth" => time::day_of_month,
        "getDate" => time::date,
        "getDayOfWeek" => time::day_of_week,
        "getHours" => time::hours,
        "getMinutes" => time::minutes,
        "getSeconds" => time::seconds,
        "getMilliseconds" => time::milliseconds,
        "optional.of" => optional::of,
        "optional.ofNonZeroValue" => optional::of_non_zero_value,
        "optional.none" => optional::none,
        "value" => optional::value,
        "hasValue" => optional::has_value,
        "or" => optional::or,
        "orValue" => optional::or_value,
        "optional.unwrap" | "unwrapOpt" => optional::unwrap,
        "first" => optional::first,
        "last" => optional::last,
        "cel.@mapInsert" => operators::map_insert,
        _ => return None,
    })
}

fn extension(name: &str) -> Option<Implementation> {
    Some(match name {
        "charAt" => strings::char_at,
        "indexOf" => strings::index_of,
        "lastIndexOf" => strings::last_index_of,
        "lowerAscii" => strings::lower_ascii,
        "upperAscii" => strings::upper_ascii,
        "replace" => strings::replace,
        "split" => strings::split,
        "substring" => strings::substring,
        "trim" => strings::trim,
        "join" => strings::join,
        "format" => crate::library::format::format,
        "strings.quote" => strings::quote,
        "isSorted" => lists::is_sorted,
        "sum" => lists::sum,
        "max" => lists::max,
        "min" => lists::min,
        "distinct" => lists::distinct,
        "flatten" => lists::flatten,
        "lists.range" => lists::range,
        "reverse" => lists::reverse,
        "slice" => lists::slice,
        "sort" => lists::sort,
        "@sortByAssociatedKeys" => lists::sort_by_keys,
        "sets.contains" => lists::sets_contains,
        "sets.equivalent" => lists::sets_equivalent,
        "sets.intersects" => lists::sets_intersects,
        _ => return None,
    })
}

fn kubernetes(name: &str) -> Option<Implementation> {
    Some(match name {
        "find" => regex::find,
        "findAll" => regex::find_all,
        "url" => url::url,
        "isURL" => url::is_url,
        "getScheme" => url::scheme_of,
        "getHost" => url::host,
        "getHostname" => url::hostname,
        "getPort" => url::port,
        "getEscapedPath" => url::escaped_path,
        "getQuery" => url::query,
        "quantity" => quantity::quantity,
        "isQuantity" => quantity::is_quantity,
        "sign" => quantity::sign,
        "isInteger" => quantity::is_integer,
        "asInteger" => quantity::as_integer,
        "asApproximateFloat" => quantity::as_approximate_float,
        "add" => quantity::add,
        "sub" => quantity::sub,
        "isLessThan" => quantity::is_less_than,
        "isGreaterThan" => quantity::is_greater_than,
        "compareTo" => quantity::compare_to,
        "semver" => semver::semver,
        "isSemver" => semver::is_semver,
        "major" => semver::major,
        "minor" => semver::minor,
        "patch" => semver::patch,
        "format.named" => formats::named,
        "validate" => formats::validate,
        "path" | "group" | "serviceAccount" | "resource" | "subresource" | "namespace" | "name" | "fieldSelector"
        | "labelSelector" | "check" | "errored" | "error" | "allowed" | "reason" => {
            return authorization::implementation(name);
        }
        "jsonpatch.escapeKey" => strings::escape_key,
        _ if name.starts_with("format.") => return formats::constructor(name),
        _ => return network::implementation(name),
    })
}
