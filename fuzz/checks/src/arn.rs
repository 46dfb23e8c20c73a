//! ARNs against their definition: six parts between the first five colons.

use portcullis_engine::fuzzing::arn;

pub(crate) const WORDS: &[&str] = &[
    "arn:",
    "ARN:",
    ":",
    "::",
    ":::::",
    "aws",
    "AWS-cn",
    "s3",
    "123456789012",
    "12345678901\u{661}",
    "/",
    "user/a/b",
    "\u{e9}",
    "\u{130}",
    "\0",
];

/// Between the ARN and the prefix that it is compared with.
const BETWEEN: char = '\n';

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let arns = [
        "arn:aws:s3:::bucket/key",
        "arn:aws:iam::123456789012:user/path/alice",
        "ARN:aws:IAM::123456789012:role/app",
        "arn:acme:orders:eu-1:123456789012:order/42:line/7",
        "arn:aws:s3::",
        "arn:::::",
        "arn:aws:averylongservicename:a-long-region-1:123456789012:x",
        "not an arn",
    ];
    let with_prefix = arns.iter().flat_map(|text| {
        let prefix = text.rsplit_once(':').map_or(*text, |(prefix, _)| prefix);
        [format!("{text}{BETWEEN}{}", prefix.to_ascii_lowercase()), format!("{text}{BETWEEN}arn:aws:s3::")]
    });
    with_prefix.map(String::into_bytes).collect()
}

pub(crate) fn hostile() -> Vec<Vec<u8>> {
    let long = 1 << 20;
    [
        ":".repeat(long),
        "arn".repeat(long),
        format!("arn:{}", "A".repeat(long)),
        format!("arn:a:b:c:d:{}", "/".repeat(long)),
    ]
    .map(String::into_bytes)
    .into()
}

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (text, other) = text.split_once(BETWEEN).unwrap_or((text, "arn:aws:s3::"));
    // It is compared with what is in lower case already.
    let other = other.to_ascii_lowercase();
    let read = arn(text, &other);
    let parts: Vec<_> = text.splitn(6, ':').collect();
    let [scheme, partition, service, region, account, resource] = parts.as_slice() else {
        assert_eq!(read, None, "{text:?} has fewer than five colons");
        return;
    };
    if !scheme.eq_ignore_ascii_case("arn") {
        assert_eq!(read, None, "{text:?} begins otherwise");
        return;
    }
    let read = read.unwrap_or_else(|| panic!("{text:?} is refused"));
    let prefix = [*scheme, partition, service, region, account].join(":");
    assert_eq!(read.segments.each_ref().map(String::as_str), ["arn", partition, service, region, account]);
    assert_eq!((read.resource.as_str(), &read.prefix), (*resource, &prefix));
    assert_eq!(read.prefix_has_upper, prefix.bytes().any(|byte| byte.is_ascii_uppercase()), "{text:?}");
    assert_eq!(read.has_prefix, prefix.to_ascii_lowercase() == other, "{text:?} and {other:?}");
    assert_eq!(read.name, resource.rsplit('/').next().unwrap_or_default());
    assert_eq!(read.is_account, account.chars().count() == 12 && account.chars().all(|c| c.is_ascii_digit()));
}
