//! A statement as the text of a Cedar policy.

use crate::statement::{Condition, Order, Patterns, Quantifier, Statement, Test};

/// Whether the text depends on who asks.
pub(super) fn has_variables(statement: &Statement) -> bool {
    let conditions = statement.conditions.iter().flat_map(|condition| &condition.values);
    statement.resources.patterns.iter().chain(conditions).any(|text| text.contains("${"))
}

/// The policy of a statement, for one principal.
pub(super) fn cedar_text(statement: &Statement, principal: &str) -> String {
    let effect = if statement.deny { "forbid" } else { "permit" };
    let mut scope = "action".to_owned();
    let mut when = Vec::new();
    let literal = |pattern: &String| !pattern.contains(['*', '?']);
    let actions = &statement.actions;
    if !actions.negated && actions.patterns.iter().all(literal) {
        let entities =
            actions.patterns.iter().map(|action| format!("Action::{}", quoted(&action.to_ascii_lowercase())));
        scope = format!("action in [{}]", entities.collect::<Vec<_>>().join(", "));
    } else {
        when.push(globs("context.action", actions, true, principal));
    }
    when.push(globs("context.resource", &statement.resources, false, principal));
    when.extend(statement.conditions.iter().map(|condition| holds(condition, principal)));
    when.retain(|term| term != "true");
    let when = if when.is_empty() { String::new() } else { format!(" when {{ {} }}", when.join(" && ")) };
    format!("{effect}(principal, {scope}, resource){when};")
}

/// Whether a text of the context matches one of the patterns.
fn globs(text: &str, patterns: &Patterns, fold: bool, principal: &str) -> String {
    let terms = patterns.patterns.iter().filter_map(|pattern| {
        let pattern = if fold { pattern.to_ascii_lowercase() } else { pattern.clone() };
        like(text, &pattern, principal)
    });
    negated(any(terms.collect()), patterns.negated)
}

/// One glob; `None` when it has a variable that is not known beforehand.
fn like(text: &str, pattern: &str, principal: &str) -> Option<String> {
    if pattern == "*" {
        return Some("true".to_owned());
    }
    let filled = filled(pattern, principal)?;
    if filled.contains('*') || filled.contains('?') {
        let mut glob = quoted(&filled.replace('?', ""));
        while glob.contains("**") {
            glob = glob.replace("**", "*");
        }
        return Some(format!("{text} like {glob}"));
    }
    Some(format!("{text} == {}", quoted(&filled)))
}

/// The variables that are known beforehand: the principal's own.
fn filled(text: &str, principal: &str) -> Option<String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}')?;
        filled.push_str(before);
        filled.push_str(match name.to_ascii_lowercase().as_str() {
            "aws:username" if principal.contains(":user/") => principal.rsplit('/').next()?,
            "aws:principalaccount" => principal.split(':').nth(4)?,
            _ => return None,
        });
        rest = after;
    }
    filled.push_str(rest);
    Some(filled)
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn any(terms: Vec<String>) -> String {
    match terms.as_slice() {
        [] => "false".to_owned(),
        [one] => one.clone(),
        _ if terms.iter().any(|term| term == "true") => "true".to_owned(),
        _ => format!("({})", terms.join(" || ")),
    }
}

fn negated(term: String, negated: bool) -> String {
    if negated { format!("!({term})") } else { term }
}

fn holds(condition: &Condition, principal: &str) -> String {
    let key = condition.key.to_ascii_lowercase();
    let (value, has) = (format!("context[{}]", quoted(&key)), format!("context has {}", quoted(&key)));
    if condition.test == Test::Null {
        let missing = condition.values.iter().any(|value| value == "true");
        return if missing { format!("!({has})") } else { has };
    }
    let test = match condition.quantifier {
        Some(quantifier) => over_set(condition, quantifier, &value, principal),
        None => negated(one(condition, &value, principal), condition.negated),
    };
    let without = match condition.quantifier {
        Some(Quantifier::ForAllValues) => true,
        Some(Quantifier::ForAnyValue) => condition.if_exists,
        None => condition.negated || condition.if_exists,
    };
    if without { format!("(!({has}) || {test})") } else { format!("({has} && {test})") }
}

/// Texts in a set; globs are left out.
fn over_set(condition: &Condition, quantifier: Quantifier, value: &str, principal: &str) -> String {
    let wanted = set(condition, principal);
    match (quantifier, condition.negated) {
        (Quantifier::ForAnyValue, false) => format!("{value}.containsAny({wanted})"),
        (Quantifier::ForAllValues, false) => format!("{wanted}.containsAll({value})"),
        (Quantifier::ForAllValues, true) => format!("!({value}.containsAny({wanted}))"),
        (Quantifier::ForAnyValue, true) => format!("!({wanted}.containsAll({value}))"),
    }
}

fn set(condition: &Condition, principal: &str) -> String {
    let texts =
        condition.values.iter().filter_map(|value| filled(value, principal)).map(|text| quoted(&text));
    format!("[{}]", texts.collect::<Vec<_>>().join(", "))
}

/// Whether one value passes the operator without its `Not`.
fn one(condition: &Condition, value: &str, principal: &str) -> String {
    let each =
        |term: &dyn Fn(&String) -> Option<String>| any(condition.values.iter().filter_map(term).collect());
    match condition.test {
        Test::Equals | Test::EqualsIgnoreCase => match condition.values.as_slice() {
            [one] => filled(one, principal)
                .map_or_else(|| "false".to_owned(), |text| format!("{value} == {}", quoted(&text))),
            _ => format!("{}.contains({value})", set(condition, principal)),
        },
        Test::Like | Test::Arn => each(&|pattern| like(value, pattern, principal)),
        Test::Bool => each(&|wanted| Some(format!("{value} == {}", wanted.to_ascii_lowercase()))),
        Test::Ip => each(&|block| Some(format!("{value}.isInRange(ip({}))", quoted(block)))),
        Test::Numeric(order) => each(&|number| {
            number.parse::<i64>().ok().map(|number| format!("{value} {} {number}", sign(order)))
        }),
        Test::Date(order) => {
            each(&|date| Some(format!("{value} {} datetime({})", sign(order), quoted(date))))
        }
        Test::Null => "true".to_owned(),
    }
}

fn sign(order: Order) -> &'static str {
    match order {
        Order::Equals => "==",
        Order::LessThan => "<",
        Order::LessThanEquals => "<=",
        Order::GreaterThan => ">",
        Order::GreaterThanEquals => ">=",
    }
}

#[cfg(test)]
mod tests {
    use super::cedar_text;
    use crate::statement::Statement;

    #[test]
    fn a_statement_becomes_a_policy() {
        let json = serde_json::json!({
            "Effect": "Deny", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": "arn:aws:s3:::home/${aws:username}/*",
            "Condition": {"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
        });
        let text = cedar_text(&Statement::of_json(&json).unwrap(), "arn:aws:iam::1:user/ann");
        assert_eq!(
            text,
            "forbid(principal, action in [Action::\"s3:getobject\", Action::\"s3:putobject\"], resource) \
             when { context.resource like \"arn:aws:s3:::home/ann/*\" && (!(context has \"aws:sourceip\") || \
             !(context[\"aws:sourceip\"].isInRange(ip(\"10.0.0.0/8\")))) };"
        );
    }
}
