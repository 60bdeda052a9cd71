//! Reads Prometheus' text format (<https://prometheus.io/docs/instrumenting/exposition_formats/>) as far as the recorder
//! writes it: counters, gauges and histograms.

/// A metric with all its series.
#[derive(Debug, PartialEq)]
pub(super) struct Family {
    pub(super) name: String,
    pub(super) points: Points,
}

/// The series of a metric, by what `# TYPE` says of it.
#[derive(Debug, PartialEq)]
pub(super) enum Points {
    Counter(Vec<Point<f64>>),
    Gauge(Vec<Point<f64>>),
    Histogram(Vec<Point<Distribution>>),
}

/// One series at the time of reading.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Point<T> {
    pub(super) labels: Labels,
    pub(super) value: T,
}

/// Names and values.
pub(super) type Labels = Vec<(String, String)>;

/// A histogram's buckets, sum and count.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Distribution {
    /// Upper bounds, without the last one, which is infinite.
    pub(super) bounds: Vec<f64>,
    /// How many values are in each bucket, the infinite one last.
    pub(super) counts: Vec<u64>,
    pub(super) sum: f64,
    pub(super) count: u64,
}

/// The families of `text`; lines that are not understood are left out.
pub(super) fn parse(text: &str) -> Vec<Family> {
    let mut families: Vec<Family> = Vec::new();
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ").and_then(begin) {
            families.push(family);
        } else if let (Some(family), Some(sample)) = (families.last_mut(), Sample::parse(line)) {
            family.add(sample);
        }
    }
    families
}

fn begin(declaration: &str) -> Option<Family> {
    let (name, kind) = declaration.split_once(' ')?;
    let points = match kind {
        "counter" => Points::Counter(Vec::new()),
        "gauge" => Points::Gauge(Vec::new()),
        "histogram" => Points::Histogram(Vec::new()),
        _ => return None,
    };
    Some(Family { name: name.to_owned(), points })
}

impl Family {
    fn add(&mut self, sample: Sample<'_>) {
        let Some(part) = sample.name.strip_prefix(self.name.as_str()) else { return };
        let Sample { labels, value, .. } = sample;
        match (&mut self.points, part) {
            (Points::Counter(points) | Points::Gauge(points), "") => points.push(Point { labels, value }),
            (Points::Histogram(points), "_bucket") => add_bucket(points, labels, value),
            (Points::Histogram(points), "_sum") => distribution(points, labels, |point| point.sum = value),
            (Points::Histogram(points), "_count") => distribution(points, labels, |point| point.count = whole(value)),
            _ => {}
        }
    }
}

/// Buckets are told cumulatively, in the order of their bounds.
fn add_bucket(points: &mut Vec<Point<Distribution>>, mut labels: Labels, value: f64) {
    let Some(at) = labels.iter().position(|(name, _)| name == "le") else { return };
    let (_, bound) = labels.remove(at);
    distribution(points, labels, |point| {
        let below: u64 = point.counts.iter().sum();
        point.counts.push(whole(value).saturating_sub(below));
        point.bounds.extend(bound.parse().ok().filter(|bound: &f64| bound.is_finite()));
    });
}

/// Changes the distribution with these labels: the last one, or a new one.
fn distribution(points: &mut Vec<Point<Distribution>>, labels: Labels, change: impl FnOnce(&mut Distribution)) {
    if let Some(point) = points.last_mut().filter(|point| point.labels == labels) {
        change(&mut point.value);
    } else {
        let mut value = Distribution::default();
        change(&mut value);
        points.push(Point { labels, value });
    }
}

/// One line.
struct Sample<'a> {
    name: &'a str,
    labels: Labels,
    value: f64,
}

impl<'a> Sample<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let end = line.find(['{', ' '])?;
        let (name, rest) = line.split_at(end);
        let (labels, value) = match rest.strip_prefix('{') {
            Some(labels) => labels_of(labels)?,
            None => (Vec::new(), rest),
        };
        Some(Self { name, labels, value: value.trim().parse().ok()? })
    }
}

/// The labels behind an opening brace, and what follows the closing one.
fn labels_of(mut text: &str) -> Option<(Labels, &str)> {
    let mut labels = Vec::new();
    loop {
        if let Some(rest) = text.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, rest) = text.split_once("=\"")?;
        let (value, rest) = quoted(rest)?;
        labels.push((name.to_owned(), value));
        text = rest.strip_prefix(',').unwrap_or(rest);
    }
}

/// The text up to the closing quote, without its escapes, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

/// Counts are written as whole numbers, below 2^53.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count is whole and not negative")]
fn whole(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_the_recorder_writes_is_read_back_whole() {
        let matcher = Matcher::Suffix("_seconds".to_owned());
        let recorder = PrometheusBuilder::new().set_buckets_for_metric(matcher, &[0.5, 1.0]).unwrap().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            metrics::counter!("asked_total", "who" => "a \"b\" \\ c\nd,e}").increment(7);
            metrics::gauge!("waiting").set(-2.5);
            for (route, took) in [("/x", 0.25), ("/x", 0.75), ("/x", 0.75), ("/x", 3.0), ("/y", 0.1)] {
                metrics::histogram!("took_seconds", "route" => route).record(took);
            }
        });
        let mut families = parse(&recorder.handle().render());
        families.sort_by(|a, b| a.name.cmp(&b.name));
        let [asked, took, waiting] = families.try_into().unwrap();
        let number = |pairs: &[_], value| vec![Point { labels: labels(pairs), value }];
        assert_eq!(asked.name, "asked_total");
        assert_eq!(asked.points, Points::Counter(number(&[("who", "a \"b\" \\ c\nd,e}")], 7.0)));
        assert_eq!(waiting.points, Points::Gauge(number(&[], -2.5)));
        let Points::Histogram(points) = took.points else { panic!("{took:?}") };
        let of = |route| &points.iter().find(|point| point.labels == labels(&[("route", route)])).unwrap().value;
        let bounds = vec![0.5, 1.0];
        assert_eq!(*of("/x"), Distribution { bounds: bounds.clone(), counts: vec![1, 2, 1], sum: 4.75, count: 4 });
        assert_eq!(*of("/y"), Distribution { bounds, counts: vec![1, 0, 0], sum: 0.1, count: 1 });
    }

    #[test]
    fn what_is_not_understood_is_left_out() {
        let text =
            "# HELP x y\nstray 1\n# TYPE q summary\n# TYPE c counter\nc{a=\"open 1\nc nonsense\nc 3\nother 4\n\n";
        let families = parse(text);
        let points = Points::Counter(vec![Point { labels: Vec::new(), value: 3.0 }]);
        assert_eq!(families, [Family { name: "c".to_owned(), points }]);
    }
}
