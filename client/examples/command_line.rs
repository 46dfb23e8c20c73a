//! A command that asks one question and tells the answer with its exit code: 0 allowed, 2 denied, 1 no decision.
//!
//! `cargo run -p portcullis-client --example command_line -- PRINCIPAL ACTION RESOURCE [KEY=VALUE]...`; without arguments it
//! asks about an order. With `PORTCULLIS=unix:/run/portcullis/portcullis.sock` it asks a sidecar; without, it reads
//! `examples/orders-service` itself.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example shows what happens")]

use std::error::Error;
use std::process::ExitCode;

use portcullis_client::{AnyAuthorizer, Authorizer as _, Client, Decision, Embedded, Request};

async fn pdp() -> Result<AnyAuthorizer, Box<dyn Error>> {
    match std::env::var("PORTCULLIS") {
        Ok(sidecar) => Ok(AnyAuthorizer::new(Client::connect(sidecar).await?)),
        Err(_) => {
            let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/orders-service");
            Ok(AnyAuthorizer::new(Embedded::open(directory).await?))
        }
    }
}

fn question(arguments: &[String]) -> Result<Request, String> {
    let [principal, action, resource, context @ ..] = arguments else {
        return Err("usage: command_line PRINCIPAL ACTION RESOURCE [KEY=VALUE]...".to_owned());
    };
    let request = Request::new(principal, action, resource).with_statements();
    context.iter().try_fold(request, |request, entry| {
        let (key, value) = entry.split_once('=').ok_or_else(|| format!("{entry:?} is not KEY=VALUE"))?;
        Ok(request.context(key, value))
    })
}

async fn ask(arguments: &[String]) -> Result<Decision, Box<dyn Error>> {
    Ok(pdp().await?.decide(question(arguments)?).await?)
}

fn sample() -> Vec<String> {
    let anna = "arn:aws:sts::123456789012:assumed-role/order-desk/anna";
    [anna, "orders:GetOrder", "arn:acme:orders:eu-1:123456789012:order/42"].map(str::to_owned).to_vec()
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.is_empty() {
        arguments = sample();
    }
    match ask(&arguments).await {
        Ok(decision) => {
            println!("{} ({})", decision.reason(), decision.answer().layer());
            println!("{}", decision.message());
            for statement in decision.answer().statements() {
                println!("by statement {} of {}", statement.index, statement.policy_id);
            }
            if decision.is_allowed() { ExitCode::SUCCESS } else { ExitCode::from(2) }
        }
        Err(problem) => {
            eprintln!("no decision: {problem}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ask, sample};

    #[tokio::test]
    async fn it_tells_yes_no_and_neither() -> Result<(), Box<dyn std::error::Error>> {
        let mut arguments = sample();
        assert!(ask(&arguments).await?.is_allowed());
        let with_amount = |cents: &str| {
            let mut arguments = sample();
            arguments.truncate(2);
            arguments[1] = "orders:RefundOrder".to_owned();
            arguments.extend([sample()[2].clone(), format!("orders:AmountCents={cents}")]);
            arguments
        };
        assert!(ask(&with_amount("4900")).await?.is_allowed());
        assert!(!ask(&with_amount("250000")).await?.is_allowed());
        arguments.pop();
        assert!(ask(&arguments).await.is_err());
        assert!(ask(&["anna".to_owned(), "nonsense".to_owned(), "*".to_owned()]).await.is_err());
        Ok(())
    }
}
