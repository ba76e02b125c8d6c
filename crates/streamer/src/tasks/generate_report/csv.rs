//! A tally comes in; one CSV row for each day and action goes out (RFC 4180).

use lift::error::Code;

use super::tally::Tally;

/// The rows, in the order of day and action, below a header. Durations are milliseconds, empty where nothing ended.
pub(super) fn csv(tally: &Tally) -> String {
    let mut text = "day,action,requests,queued,running,retrying,completed,failed,cancelled,\
                    duration_mean_ms,duration_p50_ms,duration_p95_ms,duration_max_ms"
        .to_owned();
    for code in Code::ALL {
        text.push_str(&format!(",error_{}", code.as_str()));
    }
    text.push('\n');
    for ((day, action), group) in &tally.groups {
        let durations = &group.durations;
        // An action's name holds nothing that would need quotes.
        text.push_str(&format!("{day},{action}"));
        let counts = [
            group.requests(),
            group.queued,
            group.running,
            group.retrying,
            group.completed,
            group.failed,
            group.cancelled,
        ];
        let durations = [
            durations.mean(),
            durations.percentile(50),
            durations.percentile(95),
            durations.max(),
        ];
        for field in counts.map(Some).into_iter().chain(durations) {
            let field = field.map(|number| number.to_string()).unwrap_or_default();
            text.push_str(&format!(",{field}"));
        }
        for code in Code::ALL {
            let count = group.errors.get(code.as_str()).copied().unwrap_or(0);
            text.push_str(&format!(",{count}"));
        }
        text.push('\n');
    }
    text
}
