//! Patterns around a text.

use super::Dice;

/// An action pattern; with `near_miss`, one that differs from `action` a little.
pub(crate) fn action(dice: &mut Dice, action: &str, near_miss: bool) -> String {
    let text = if near_miss { miss(dice, action) } else { action.to_owned() };
    let (vendor, name) = text.split_once(':').unwrap_or(("s3", "GetObject"));
    let pattern = match dice.weighted(&[30, 14, 10, 8, 8, 8, 6, 3, 3, 2, 2]) {
        0 => text.clone(),
        1 => format!("{vendor}:{}*", head(dice, name)),
        2 => format!("{vendor}:*"),
        3 => format!("{vendor}:*{}", tail(dice, name)),
        4 => format!("{vendor}:{}", with_inner_star(dice, name)),
        5 => format!("{vendor}:{}", with_question(dice, name)),
        6 => "*".to_owned(),
        7 => format!("{vendor}:?*"),
        8 => "*:*".to_owned(),
        9 => format!("*:{name}"),
        _ => format!("{}*:{name}", head(dice, vendor)),
    };
    match dice.below(6) {
        0 => pattern.to_ascii_uppercase(),
        1 => pattern.to_ascii_lowercase(),
        _ => pattern,
    }
}

/// A resource pattern; the seventh and later shapes hold variables.
pub(crate) fn resource(dice: &mut Dice, resource: &str, near_miss: bool) -> String {
    let text = if near_miss { miss(dice, resource) } else { resource.to_owned() };
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [_, partition, service, region, account, rest] = parts[..] else {
        return (*dice.pick(&["*", "*", "**", "arn:aws:s3:::*"])).to_owned();
    };
    let service = if service.is_empty() { "s3" } else { service };
    let prefix = match dice.weighted(&[55, 10, 10, 5, 5]) {
        0 => format!("arn:{partition}:{service}:{region}:{account}"),
        1 => format!("arn:{partition}:{service}:*:*"),
        2 => format!("arn:*:{service}:{region}:{account}"),
        3 => format!("arn:{partition}:{service}:{region}*:{account}"),
        _ => format!("arn:{partition}:{service}:{region}:{}*", head(dice, account)),
    };
    match dice.weighted(&[22, 16, 7, 8, 8, 6, 18, 3, 10, 3, 4]) {
        0 => text.clone(),
        1 => format!("{prefix}:{}*", head(dice, rest)),
        2 => format!("{prefix}:*{}", tail(dice, rest)),
        3 => format!("{prefix}:{}", with_inner_star(dice, rest)),
        4 => format!("{prefix}:{}", with_question(dice, rest)),
        5 => format!("{prefix}:?*"),
        6 => "*".to_owned(),
        7 => "**".to_owned(),
        8 => format!("{prefix}:{}", with_variable(dice, rest)),
        9 => format!("arn:{partition}:{service}"),
        _ => format!("arn:{partition}:{service}:*"),
    }
}

/// A pattern for the value of a text condition.
pub(crate) fn value(dice: &mut Dice, text: &str, near_miss: bool) -> String {
    let text = if near_miss { miss(dice, text) } else { text.to_owned() };
    match dice.weighted(&[40, 10, 8, 8, 8, 6, 5, 10]) {
        0 => text,
        1 => format!("{}*", head(dice, &text)),
        2 => format!("*{}", tail(dice, &text)),
        3 => with_inner_star(dice, &text),
        4 => with_question(dice, &text),
        5 => "*".to_owned(),
        6 => String::new(),
        _ => with_variable(dice, &text),
    }
}

/// One character changed, dropped or added, or the case of one turned.
pub(crate) fn miss(dice: &mut Dice, text: &str) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    if characters.is_empty() {
        return "x".to_owned();
    }
    // the colons of an ARN or action stay where they are
    let free: Vec<usize> = (0..characters.len()).filter(|at| characters[*at] != ':').collect();
    let start = if text.starts_with("arn:") { 2 } else { 0 };
    let Some(at) = free.get(start + dice.below(free.len().max(start + 2) - start - 1)) else {
        return format!("{text}x");
    };
    let at = (*at).max(if text.starts_with("arn:") { 4 } else { 0 });
    if characters[at] == ':' {
        return format!("{text}x");
    }
    match dice.below(4) {
        0 => characters.insert(at, 'x'),
        1 if characters[at].is_ascii_lowercase() => characters[at] = characters[at].to_ascii_uppercase(),
        2 if characters.len() > at + 2 && characters[at + 1] != ':' => {
            characters.remove(at + 1);
        }
        _ => characters.push('x'),
    }
    characters.into_iter().collect()
}

fn cut(dice: &mut Dice, text: &str) -> usize {
    let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    *dice.pick(&places)
}

fn head(dice: &mut Dice, text: &str) -> String {
    let at = cut(dice, text);
    text[..at].to_owned()
}

fn tail(dice: &mut Dice, text: &str) -> String {
    let at = cut(dice, text);
    text[at..].to_owned()
}

fn with_inner_star(dice: &mut Dice, text: &str) -> String {
    let (a, b) = (cut(dice, text), cut(dice, text));
    format!("{}*{}", &text[..a.min(b)], &text[a.max(b)..])
}

fn with_question(dice: &mut Dice, text: &str) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    if characters.is_empty() {
        return "?".to_owned();
    }
    for _ in 0..=dice.below(2) {
        let at = dice.below(characters.len());
        characters[at] = '?';
    }
    characters.into_iter().collect()
}

/// Puts a variable into a text, most often in the place of its own value.
pub(crate) fn with_variable(dice: &mut Dice, text: &str) -> String {
    for (value, variable) in [
        ("alice", "${aws:username}"),
        ("eng", "${aws:PrincipalTag/team}"),
        ("111111111111", "${aws:PrincipalAccount}"),
        ("*", "${*}"),
    ] {
        if text.contains(value) && dice.chance(60) {
            return text.replacen(value, variable, 1);
        }
    }
    let variable = *dice.pick(&[
        "${aws:username}",
        "${AWS:UserName}",
        "${aws:userid}",
        "${aws:PrincipalTag/team}",
        "${aws:PrincipalTag/Team, 'eng'}",
        "${aws:PrincipalTag/empty}",
        "${aws:PrincipalTag/empty, 'k'}",
        "${app:list, 'k'}",
        "${app:text}",
        "${app:none, 'k'}",
        "${app:none, ''}",
        "${aws:TagKeys}",
        "${*}",
        "${?}",
        "${$}",
        "$",
    ]);
    let (a, b) = (cut(dice, text), cut(dice, text));
    let tail = if dice.chance(50) { "*" } else { &text[a.max(b)..] };
    format!("{}{variable}{tail}", &text[..a.min(b)])
}
