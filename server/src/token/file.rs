//! The file of tokens.
//!
//! One token a line: `[NAME] TOKEN [methods=METHOD,METHOD...]`, words between blanks, `#` begins a comment line.
//! - `TOKEN`: 32 to 4,096 of the characters that a bearer token may have (RFC 6750): letters, digits, `-._~+/`, and `=`
//!   at its end.
//! - `NAME`: up to 31 letters, digits and `-._`; what records and logs call it. Default: its line. Several tokens may
//!   have one name, as while they are rotated.
//! - `methods`: the calls it is for, by the names of their methods, `Reflection`, or `*` for everything. Default: the
//!   calls that ask for decisions, `Authorize,BatchAuthorize,AuthorizeStream`.
//!
//! Invariant: no sentence quotes a word of the file, since any could be a token in the wrong place.

use super::{Methods, Token};

/// Tokens of one file. Each call is compared with all of them.
const TOKENS_MAX: usize = 256;
const TOKEN_BYTES_MIN: usize = 32;
/// Half of what all headers of a request may have.
const TOKEN_BYTES_MAX: usize = 4_096;
/// Shorter than any token, so that none is taken for a name.
const NAME_BYTES_MAX: usize = TOKEN_BYTES_MIN - 1;
const METHODS: &str = "methods=";

/// Reads the tokens of a file.
///
/// # Errors
/// All that is wrong, with its line.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Token>, Vec<String>> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Err(vec!["it is not UTF-8".to_owned()]) };
    let (mut tokens, mut wrong): (Vec<Token>, _) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        match parse_line(number, line) {
            Ok(token) if tokens.iter().any(|other| other.hash == token.hash) => {
                wrong.push(format!("line {number}: the same token is in a line above"));
            }
            Ok(token) => tokens.push(token),
            Err(sentence) => wrong.push(format!("line {number}: {sentence}")),
        }
    }
    if tokens.is_empty() && wrong.is_empty() {
        wrong.push("no token is in it".to_owned());
    }
    if tokens.len() > TOKENS_MAX {
        wrong.push(format!("more than {TOKENS_MAX} tokens are in it"));
    }
    if wrong.is_empty() { Ok(tokens) } else { Err(wrong) }
}

fn parse_line(number: usize, line: &str) -> Result<Token, String> {
    let mut words: Vec<_> = line.split_whitespace().collect();
    let methods = match words.last().and_then(|last| last.strip_prefix(METHODS)) {
        Some(names) => {
            words.pop();
            parse_methods(names)?
        }
        None => Methods::DECISIONS,
    };
    let (name, token) = match *words.as_slice() {
        [token] => (format!("line {number}"), token),
        [name, token] => (parse_name(name)?, token),
        _ => return Err("a line is `[NAME] TOKEN [methods=METHOD,METHOD...]`".to_owned()),
    };
    check_token(token)?;
    Ok(Token { name: name.into(), hash: *blake3::hash(token.as_bytes()).as_bytes(), methods })
}

fn parse_methods(names: &str) -> Result<Methods, String> {
    if names == "*" {
        return Ok(Methods::ALL);
    }
    let mut methods = Methods(0);
    for (place, name) in (1..).zip(names.split(',')) {
        let method = Methods::named(name).ok_or_else(|| {
            let known: Vec<_> = super::METHODS.iter().map(|(name, _)| *name).collect();
            format!(
                "method {place} of the list is none of {}, {} and `*` alone",
                known.join(", "),
                super::REFLECTION_NAME
            )
        })?;
        methods = methods.and(method);
    }
    Ok(methods)
}

fn parse_name(name: &str) -> Result<String, String> {
    if name.len() > NAME_BYTES_MAX {
        return Err(format!("the name has more than {NAME_BYTES_MAX} bytes; is it a token?"));
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
        return Err("a name has letters, digits and `-._`".to_owned());
    }
    Ok(name.to_owned())
}

fn check_token(token: &str) -> Result<(), String> {
    let length = token.len();
    if !(TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&length) {
        return Err(format!(
            "a token has {TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX} bytes, and this has {length}"
        ));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    if !token.trim_end_matches('=').bytes().all(plain) {
        return Err("a token has letters, digits, `-._~+/`, and `=` at its end".to_owned());
    }
    Ok(())
}
