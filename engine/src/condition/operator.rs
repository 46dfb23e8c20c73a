//! The operator table: one row per base operator (semantics.md section 3).

/// A base operator, without qualifier and `IfExists`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are IAM's own")]
pub enum Operator {
    StringEquals,
    StringNotEquals,
    StringEqualsIgnoreCase,
    StringNotEqualsIgnoreCase,
    StringLike,
    StringNotLike,
    NumericEquals,
    NumericNotEquals,
    NumericLessThan,
    NumericLessThanEquals,
    NumericGreaterThan,
    NumericGreaterThanEquals,
    DateEquals,
    DateNotEquals,
    DateLessThan,
    DateLessThanEquals,
    DateGreaterThan,
    DateGreaterThanEquals,
    Bool,
    BinaryEquals,
    IpAddress,
    NotIpAddress,
    ArnEquals,
    ArnNotEquals,
    ArnLike,
    ArnNotLike,
    Null,
}

/// How an operator reads both sides (C-13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are IAM's own")]
pub enum Family {
    String,
    Numeric,
    Date,
    Bool,
    Binary,
    Ip,
    Arn,
    Null,
}

/// The set qualifier (C-48).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Qualifier {
    /// `ForAllValues:`.
    ForAllValues,
    /// `ForAnyValue:`.
    ForAnyValue,
}

impl Operator {
    /// Every operator with its name.
    pub const TABLE: [(&'static str, Self, Family); 27] = [
        ("StringEquals", Self::StringEquals, Family::String),
        ("StringNotEquals", Self::StringNotEquals, Family::String),
        ("StringEqualsIgnoreCase", Self::StringEqualsIgnoreCase, Family::String),
        ("StringNotEqualsIgnoreCase", Self::StringNotEqualsIgnoreCase, Family::String),
        ("StringLike", Self::StringLike, Family::String),
        ("StringNotLike", Self::StringNotLike, Family::String),
        ("NumericEquals", Self::NumericEquals, Family::Numeric),
        ("NumericNotEquals", Self::NumericNotEquals, Family::Numeric),
        ("NumericLessThan", Self::NumericLessThan, Family::Numeric),
        ("NumericLessThanEquals", Self::NumericLessThanEquals, Family::Numeric),
        ("NumericGreaterThan", Self::NumericGreaterThan, Family::Numeric),
        ("NumericGreaterThanEquals", Self::NumericGreaterThanEquals, Family::Numeric),
        ("DateEquals", Self::DateEquals, Family::Date),
        ("DateNotEquals", Self::DateNotEquals, Family::Date),
        ("DateLessThan", Self::DateLessThan, Family::Date),
        ("DateLessThanEquals", Self::DateLessThanEquals, Family::Date),
        ("DateGreaterThan", Self::DateGreaterThan, Family::Date),
        ("DateGreaterThanEquals", Self::DateGreaterThanEquals, Family::Date),
        ("Bool", Self::Bool, Family::Bool),
        ("BinaryEquals", Self::BinaryEquals, Family::Binary),
        ("IpAddress", Self::IpAddress, Family::Ip),
        ("NotIpAddress", Self::NotIpAddress, Family::Ip),
        ("ArnEquals", Self::ArnEquals, Family::Arn),
        ("ArnNotEquals", Self::ArnNotEquals, Family::Arn),
        ("ArnLike", Self::ArnLike, Family::Arn),
        ("ArnNotLike", Self::ArnNotLike, Family::Arn),
        ("Null", Self::Null, Family::Null),
    ];

    fn row(self) -> (&'static str, Family) {
        let row = Self::TABLE.iter().find(|(_, operator, _)| *operator == self);
        row.map_or(("", Family::Null), |(name, _, family)| (name, *family))
    }

    /// The operator's name as IAM writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// How it reads its values.
    #[must_use]
    pub fn family(self) -> Family {
        self.row().1
    }

    /// Whether it holds when nothing matches (`Not` in its name).
    #[must_use]
    pub fn is_negated(self) -> bool {
        self.name().contains("Not")
    }
}
