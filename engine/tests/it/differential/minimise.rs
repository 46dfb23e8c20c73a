//! A small case out of a large one: parts are dropped as long as the two evaluators still differ.

use serde_json::Value;

use super::compiled;
use crate::reference;
use crate::simulate;

/// Both answers, or nothing when they agree or the directory no longer loads; a request that is refused
/// differs only when that is what the large case shows.
fn difference(directory: &Value, request: &Value, refused: bool) -> Option<String> {
    let policy_set = simulate::load(directory).ok()?;
    let expected = reference::decide(directory, request);
    let got = compiled(&policy_set, request, false);
    if got.is_err() != refused || got.as_ref().is_ok_and(|got| got.agrees(&expected)) {
        return None;
    }
    Some(format!("reference: {expected:?}\ncompiled:  {got:?}"))
}

/// The case in its smallest form, with both answers.
pub(super) fn report(directory: &Value, request: &Value) -> String {
    let (mut directory, mut request) = (directory.clone(), request.clone());
    let refused =
        simulate::load(&directory).is_ok_and(|policy_set| compiled(&policy_set, &request, false).is_err());
    let Some(mut answers) = difference(&directory, &request, refused) else {
        return format!("explain only, or not repeatable\n{directory}\n{request}");
    };
    loop {
        let mut progress = false;
        for case in [Part::Directory, Part::Request] {
            let whole = if case == Part::Directory { &directory } else { &request };
            let mut pointers = Vec::new();
            collect(whole, String::new(), &mut pointers);
            for pointer in pointers {
                let whole = if case == Part::Directory { &directory } else { &request };
                let Some(smaller) = without(whole, &pointer) else { continue };
                let pair = match case {
                    Part::Directory => (smaller, request.clone()),
                    Part::Request => (directory.clone(), smaller),
                };
                if let Some(found) = difference(&pair.0, &pair.1, refused) {
                    (directory, request) = pair;
                    answers = found;
                    progress = true;
                    break;
                }
            }
        }
        if !progress {
            return format!("Policies: {directory}\nRequest: {request}\n{answers}");
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Directory,
    Request,
}

/// Pointers of everything that may be dropped, the large parts first.
fn collect(value: &Value, at: String, pointers: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Array(items) => {
            items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect()
        }
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| (name.replace('~', "~0").replace('/', "~1"), member))
            .collect(),
        _ => Vec::new(),
    };
    for (name, _) in &children {
        let essential = [
            "Principal",
            "Action",
            "Resource",
            "Effect",
            "Version",
            "NotAction",
            "NotResource",
            "Id",
            "Document",
            "IsDefaultVersion",
            "VersionId",
        ];
        if !essential.contains(&name.as_str()) {
            pointers.push(format!("{at}/{name}"));
        }
    }
    for (name, child) in children {
        collect(child, format!("{at}/{name}"), pointers);
    }
}

fn without(whole: &Value, pointer: &str) -> Option<Value> {
    let mut smaller = whole.clone();
    let (parent, name) = pointer.rsplit_once('/')?;
    match smaller.pointer_mut(parent)? {
        Value::Array(items) => {
            let index: usize = name.parse().ok()?;
            if index >= items.len() {
                return None;
            }
            items.remove(index);
        }
        Value::Object(members) => {
            members.remove(&name.replace("~1", "/").replace("~0", "~"))?;
        }
        _ => return None,
    }
    Some(smaller)
}
