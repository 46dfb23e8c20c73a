//! The pages of the HTTP listener, read below any library.

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A page's code and text.
pub(crate) async fn fetch(address: &str, path: &str) -> anyhow::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no end of the head")?;
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no code")?;
    Ok((code, body.to_owned()))
}

/// The sum of a metric's values whose labels hold `label`; zero when there is none.
pub(crate) fn metric(page: &str, name: &str, label: &str) -> f64 {
    page.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let whole = rest.starts_with('{') || rest.starts_with(' ');
            let (labels, value) = rest.rsplit_once(' ')?;
            (whole && labels.contains(label)).then(|| value.parse::<f64>().ok())?
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_found_by_its_whole_name() {
        let page = "# TYPE a counter\na_total{r=\"x\"} 2\na_total{r=\"y\"} 3\na_total_more 9\n";
        assert!((metric(page, "a_total", "") - 5.0).abs() < 0.1);
        assert!((metric(page, "a_total", "r=\"x\"") - 2.0).abs() < 0.1);
        assert!(metric(page, "b", "").abs() < 0.1);
    }
}
