//! Worlds drawn from a seed, from one user with ten statements to 400,000 statements.
//!
//! The same shape and seed give the same world on every machine: the generator of numbers is spelled out here.
//! Half of the questions are allowed, a fifth explicitly denied, the rest implicitly denied, as far as a world has them.

mod draw;
mod text;

use std::collections::HashMap;

use portcullis_engine::Reason;

use crate::World;
use crate::account::Account;
use crate::question::Question;
use crate::scan::Scan;
use crate::statement::Statement;
pub(crate) use draw::Draw;
pub(crate) use text::files;

/// How large a world is.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// What it is called.
    pub name: &'static str,
    /// What it asks of an engine.
    pub about: &'static str,
    users: usize,
    groups: usize,
    policies: usize,
    statements_per_policy: usize,
    policies_per_user: usize,
    groups_per_user: usize,
    /// So many of the users ask; 0 is all.
    hot_users: usize,
    /// Every statement has the whole stack of conditions.
    heavy: bool,
    questions: usize,
}

const SERVICE: Shape = Shape {
    name: "W2",
    about: "a typical service: 100 users in 3 of 20 groups, 50 policies of 4 statements",
    users: 100,
    groups: 20,
    policies: 50,
    statements_per_policy: 4,
    policies_per_user: 2,
    groups_per_user: 3,
    hot_users: 0,
    heavy: false,
    questions: 4_000,
};
const COMPANY: Shape = Shape {
    name: "W3",
    about: "a large company: 10,000 users in 3 of 500 groups, 5,000 policies",
    users: 10_000,
    groups: 500,
    policies: 5_000,
    questions: 20_000,
    ..SERVICE
};
const GROWTH: Shape = Shape {
    name: "W4",
    about: "growth: 10,000 users with 10 of 100,000 policies each, 400,000 statements",
    users: 10_000,
    groups: 0,
    groups_per_user: 0,
    policies: 100_000,
    policies_per_user: 10,
    questions: 20_000,
    ..SERVICE
};
const ALONE: Shape = Shape {
    name: "W5_100",
    about: "one user to whom all 100 statements apply",
    users: 1,
    groups: 0,
    groups_per_user: 0,
    policies: 25,
    policies_per_user: 25,
    ..SERVICE
};

/// Every shape, in the order of their names.
pub const SHAPES: [Shape; 10] = [
    Shape {
        name: "W1",
        about: "the floor: one user, one policy of ten statements",
        users: 1,
        groups: 0,
        groups_per_user: 0,
        policies: 1,
        statements_per_policy: 10,
        policies_per_user: 1,
        questions: 2_000,
        ..SERVICE
    },
    SERVICE,
    COMPANY,
    Shape { name: "W3h", about: "as W3, asked by 100 of the users", hot_users: 100, ..COMPANY },
    GROWTH,
    Shape { name: "W4h", about: "as W4, asked by 100 of the users", hot_users: 100, ..GROWTH },
    ALONE,
    Shape {
        name: "W5_1k",
        about: "one user to whom all 1,000 statements apply",
        policies: 250,
        policies_per_user: 250,
        ..ALONE
    },
    Shape {
        name: "W5_10k",
        about: "one user to whom all 10,000 statements apply",
        policies: 2_500,
        policies_per_user: 2_500,
        ..ALONE
    },
    Shape {
        name: "W6",
        about: "conditions: 12 statements apply, each with 100 blocks of addresses, variables, dates, numbers, 20 tag keys",
        groups: 0,
        groups_per_user: 0,
        policies: 20,
        policies_per_user: 3,
        heavy: true,
        ..SERVICE
    },
];

impl Shape {
    /// The shape of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        SHAPES.iter().find(|shape| shape.name == name).copied()
    }

    /// The shape with so many questions.
    #[must_use]
    pub fn asked(self, questions: usize) -> Self {
        Self { questions, ..self }
    }

    /// Draws a world of this shape.
    #[must_use]
    pub fn world(&self, seed: u64) -> World {
        let mut draw = Draw::new(seed, self);
        let policies: Vec<Vec<Statement>> = (0..self.policies).map(|_| draw.policy()).collect();
        let groups: Vec<Vec<usize>> = (0..self.groups).map(|_| draw.distinct(2, self.policies)).collect();
        let users: Vec<User> = (0..self.users)
            .map(|_| User {
                groups: draw.distinct(self.groups_per_user, self.groups),
                policies: draw.distinct(self.policies_per_user, self.policies),
            })
            .collect();
        let sources = text::sources(&policies, &groups, &users);
        let held = users.iter().enumerate().map(|(number, user)| {
            let of_groups = user.groups.iter().filter_map(|group| groups.get(*group)).flatten();
            (text::user_arn(number), user.policies.iter().chain(of_groups).copied().collect())
        });
        let account = Account::new(policies, held);
        let scan = Scan::new(&account);
        let questions = mix(self.questions, &mut || {
            let user = match self.hot_users {
                0 => draw.below(self.users),
                hot => draw.below(hot) * 7_919 % self.users,
            };
            let mut question = draw.question(user, &account);
            question.expected = scan.answer(&question);
            question
        });
        World { name: self.name.to_owned(), sources, questions }
    }
}

/// Draws until the mix is full: half allowed, a fifth explicitly denied. An answer that is too rare leaves its share to
/// the others.
pub(crate) fn mix(total: usize, draw: &mut dyn FnMut() -> Question) -> Vec<Question> {
    let mut kept: HashMap<Reason, usize> = HashMap::new();
    let mut questions = Vec::with_capacity(total);
    let mut tries = 0;
    while questions.len() < total {
        tries += 1;
        let question = draw();
        let denied = kept.get(&Reason::ExplicitDeny).copied().unwrap_or_default();
        let denials = if tries > total * 4 { denied } else { total / 5 };
        let share = match question.expected {
            Reason::Allowed => total / 2,
            Reason::ExplicitDeny => total / 5,
            Reason::ImplicitDeny | Reason::EvaluationLimit => total - total / 2 - denials,
        };
        let count = kept.entry(question.expected).or_default();
        if *count < share || tries > total * 20 {
            *count += 1;
            questions.push(question);
        }
    }
    questions
}

/// What a user has: groups and policies by their numbers.
#[derive(Debug)]
struct User {
    groups: Vec<usize>,
    policies: Vec<usize>,
}

#[cfg(test)]
mod tests {
    use super::Shape;

    #[test]
    fn a_seed_is_a_world() {
        let service = Shape::named("W2").unwrap();
        assert_eq!(service.world(7).sources, service.world(7).sources);
        assert_ne!(service.world(7).sources, service.world(8).sources);
    }

    #[test]
    fn the_engine_agrees_with_the_scan() {
        for name in ["W1", "W2", "W5_100", "W6"] {
            let world = Shape::named(name).unwrap().world(3);
            let policy_set = world.build().unwrap();
            assert_eq!(world.check(&policy_set), Ok(()), "{name}");
        }
    }
}
