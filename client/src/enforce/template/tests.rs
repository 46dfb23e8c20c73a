//! What a template takes and what it does not.

use super::*;

const ORDER: &str = "arn:acme:orders:eu-1:111122223333:order/{id}";

fn fill(template: &str, values: &[(&str, &str)]) -> Result<String, Unmapped> {
    let template = Template::parse(template).map_err(|error| Unmapped::new(error.to_string()))?;
    template.fill(|| values.iter().copied())
}

#[test]
fn values_stand_where_they_belong() {
    assert_eq!(fill(ORDER, &[("id", "42")]).unwrap(), "arn:acme:orders:eu-1:111122223333:order/42");
    let template = "arn:acme:files:{region}:{account}:{tenant}/file/{*path}";
    let values =
        [("region", "eu-1"), ("account", "111122223333"), ("tenant", "Zoë & co"), ("path", "a/b c/${d}.txt")];
    assert_eq!(
        fill(template, &values).unwrap(),
        "arn:acme:files:eu-1:111122223333:Zoë & co/file/a/b c/${d}.txt"
    );
    assert_eq!(fill("*", &[]).unwrap(), "*");
}

#[test]
fn a_value_stays_in_its_place() {
    for value in ["", ".", "..", "a/b", "/", "a:b", "a\\b", "*", "a?", "a\0b", "a\r\nb", "a\u{7f}"] {
        assert!(fill(ORDER, &[("id", value)]).is_err(), "{value:?}");
    }
    let file = "arn:acme:files:::file/{*path}";
    for value in ["", "/a", "a/", "a//b", "a/../b", "..", "./a", "a/b:c", "a/*", "a\\..\\b"] {
        assert!(fill(file, &[("path", value)]).is_err(), "{value:?}");
    }
    let account = "arn:acme:orders:eu-1:{account}:order/1";
    for value in ["", "1:order/2", "1/2", "a b", "é", "*", "%3A"] {
        assert!(fill(account, &[("account", value)]).is_err(), "{value:?}");
    }
}

#[test]
fn a_name_without_one_value_fills_nothing() {
    assert!(fill(ORDER, &[]).is_err());
    assert!(fill(ORDER, &[("ID", "42")]).is_err());
    assert!(fill(ORDER, &[("id", "42"), ("id", "43")]).is_err());
}

#[test]
fn what_is_no_resource_is_no_template() {
    for text in [
        "",
        "order/{id}",
        "{arn}",
        "{*arn}",
        "arn:acme:orders",
        "arn:acme:orders:eu-1:111122223333:",
        "arn:acme:orders:eu-1:111122223333:order/*",
        "arn:acme:orders:eu-1:111122223333:order/?",
        "arn:acme:orders:eu-1:111122223333:order/{id",
        "arn:acme:orders:eu-1:111122223333:order/id}",
        "arn:acme:orders:eu-1:111122223333:order/{}",
        "arn:acme:orders:eu-1:111122223333:order/{*}",
        "arn:acme:orders:eu-1:111122223333:order/{{id}}",
        "arn:acme:orders:{*region}:111122223333:order/1",
    ] {
        assert_eq!(Template::parse(text), Err(RuleError::Resource(text.to_owned())), "{text:?}");
    }
}
