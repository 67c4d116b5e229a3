//! What `/metrics` shows arrives at a collector of OpenTelemetry; one that is dead, silent or busy blocks nothing, is counted, and
//! gets everything once it is back.

mod watched;

use freehold::{
    Limits,
    runtime::{Runtime, TokioRuntime},
};
use freehold_admin::{
    AdminOptions, Kind, METRICS, Metric, OtlpExporter, OtlpOptions, RunningOtlp, Telemetry, limits,
};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::{
        ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
    },
    common::v1::{KeyValue, any_value},
    metrics::v1::{self as otlp, AggregationTemporality, metric::Data, number_data_point},
};
use prost::Message;
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};
use watched::{LIMIT, Watched, eventually};

/// Often, so that tests need not wait for long.
const OFTEN: Duration = limits::OTLP_INTERVAL_LEAST;

/// What a collector says to an export; nothing for one that never answers.
type Saying = Arc<Mutex<Option<Vec<u8>>>>;

/// A collector that says what it is told to; its exports, as they come.
struct Collector {
    address: SocketAddr,
    saying: Saying,
    exports: Receiver<(String, ExportMetricsServiceRequest)>,
}

impl Collector {
    fn saying(answer: Option<Vec<u8>>) -> Self {
        Self::at(TcpListener::bind("127.0.0.1:0").unwrap(), answer)
    }

    fn at(listener: TcpListener, answer: Option<Vec<u8>>) -> Self {
        let address = listener.local_addr().unwrap();
        let saying = Arc::new(Mutex::new(answer));
        let (tell, exports) = channel();
        let says = saying.clone();
        std::thread::spawn(move || {
            // Those that get no answer stay open.
            let mut kept = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                kept.extend(take(stream, &says, &tell));
            }
        });
        Self { address, saying, exports }
    }

    fn says(&self, answer: Option<Vec<u8>>) {
        *self.saying.lock().unwrap() = answer;
    }

    fn next(&self) -> (String, ExportMetricsServiceRequest) {
        self.exports.recv_timeout(LIMIT).expect("an export")
    }

    /// One that began after this call.
    fn fresh(&self) -> (String, ExportMetricsServiceRequest) {
        while self.exports.try_recv().is_ok() {}
        // This one may have been under way.
        self.next();
        self.next()
    }

    fn options(&self) -> OtlpOptions {
        options(self.address)
    }
}

/// Reads one export and answers it; the stream of one that is not answered.
fn take(
    stream: TcpStream,
    says: &Saying,
    tell: &Sender<(String, ExportMetricsServiceRequest)>,
) -> Option<TcpStream> {
    let mut reader = BufReader::new(&stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) <= 2 {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let answer = says.lock().unwrap().clone();
    let _ = tell.send((head, ExportMetricsServiceRequest::decode(&*body).unwrap()));
    match answer {
        Some(answer) => {
            let _ = (&stream).write_all(&answer);
            None
        }
        None => Some(stream),
    }
}

fn options(address: SocketAddr) -> OtlpOptions {
    let mut options = OtlpOptions { interval: OFTEN, ..OtlpOptions::default() };
    options.set_collector(&format!("http://{address}"));
    options
}

fn answer(head: &str, body: &[u8]) -> Option<Vec<u8>> {
    let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len());
    Some([head.as_bytes(), body].concat())
}

fn well() -> Option<Vec<u8>> {
    answer("200 OK\r\nContent-Type: application/x-protobuf", &[])
}

fn export(watched: &Watched, options: OtlpOptions) -> RunningOtlp {
    OtlpExporter::new(options).unwrap().start(&watched.engine, &watched.telemetry).unwrap()
}

fn count(watched: &Watched, result: &str) -> f64 {
    watched.metric(&format!("freehold_otlp_exports_total{{result=\"{result}\"}}"))
}

/// Calls go on as if nothing were.
async fn answers(watched: &Watched) {
    let begun = TokioRuntime.now();
    for number in 0..200 {
        assert!(watched.call("echo", number).await);
    }
    assert!(TokioRuntime.now() - begun < LIMIT);
}

/// Values by sample: name and labels, in order and without those that have no value.
type Samples = BTreeMap<String, f64>;

fn key(name: &str, mut labels: Vec<(String, String)>) -> String {
    labels.retain(|(_, value)| !value.is_empty());
    labels.sort();
    format!("{name}{labels:?}")
}

/// What the text has. Its labels have nothing in them here that is escaped.
fn of_text(text: &str) -> Samples {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = sample.split_once('{').unwrap_or((sample, ""));
            let labels = labels.trim_end_matches('}').split("\",").filter(|pair| !pair.is_empty());
            let labels = labels.map(|pair| {
                let (name, value) = pair.split_once("=\"").unwrap();
                (name.to_owned(), value.trim_end_matches('"').to_owned())
            });
            (key(name, labels.collect()), value.parse().unwrap())
        })
        .collect()
}

fn pairs(attributes: &[KeyValue]) -> Vec<(String, String)> {
    let text = |attribute: &KeyValue| match &attribute.value.as_ref().unwrap().value {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        other => panic!("{other:?}"),
    };
    attributes.iter().map(|attribute| (attribute.key.clone(), text(attribute))).collect()
}

fn metrics(request: &ExportMetricsServiceRequest) -> &[otlp::Metric] {
    assert_eq!((request.resource_metrics.len(), request.resource_metrics[0].scope_metrics.len()), (1, 1));
    &request.resource_metrics[0].scope_metrics[0].metrics
}

/// What the message has, as text has it; and that each metric is of its kind.
fn of_message(request: &ExportMetricsServiceRequest) -> Samples {
    let mut samples = Samples::new();
    for metric in metrics(request) {
        let declared = METRICS.iter().find(|declared| declared.name == metric.name).unwrap();
        assert_eq!(metric.description, declared.help);
        of_metric(metric, declared, &mut samples);
    }
    samples
}

fn of_metric(metric: &otlp::Metric, declared: &Metric, samples: &mut Samples) {
    let name = &metric.name;
    let cumulative = i32::from(AggregationTemporality::Cumulative);
    let points = match metric.data.as_ref().unwrap() {
        Data::Gauge(gauge) => {
            assert_eq!(declared.kind, Kind::Gauge, "{name}");
            &gauge.data_points
        }
        Data::Sum(sum) => {
            assert_eq!(declared.kind, Kind::Counter, "{name}");
            assert!(sum.is_monotonic && sum.aggregation_temporality == cumulative, "{name}");
            assert!(
                sum.data_points.iter().all(|point| began(point.start_time_unix_nano, point.time_unix_nano))
            );
            &sum.data_points
        }
        Data::Histogram(histogram) => {
            assert_eq!(declared.kind, Kind::Histogram, "{name}");
            assert_eq!((histogram.aggregation_temporality, &*metric.unit), (cumulative, "s"), "{name}");
            for point in &histogram.data_points {
                of_histogram(name, point, samples);
            }
            return;
        }
        other => panic!("{other:?}"),
    };
    for point in points {
        let value = match point.value.unwrap() {
            number_data_point::Value::AsInt(count) => count as f64,
            number_data_point::Value::AsDouble(real) => real,
        };
        let before = samples.insert(key(name, pairs(&point.attributes)), value);
        assert_eq!(before, None, "{name} {point:?} stands twice");
    }
}

/// Whether these are the begin of something and a later instant, in this century.
fn began(from: u64, to: u64) -> bool {
    from > 946_684_800_000_000_000 && from <= to
}

fn of_histogram(name: &str, point: &otlp::HistogramDataPoint, samples: &mut Samples) {
    assert!(began(point.start_time_unix_nano, point.time_unix_nano));
    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
    let bounds = point.explicit_bounds.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
    let mut below = 0;
    for (bound, in_bucket) in bounds.zip(&point.bucket_counts) {
        below += in_bucket;
        let labels = [pairs(&point.attributes), vec![("le".to_owned(), bound)]].concat();
        samples.insert(key(&format!("{name}_bucket"), labels), below as f64);
    }
    assert_eq!(below, point.count);
    samples.insert(key(&format!("{name}_sum"), pairs(&point.attributes)), point.sum.unwrap());
    samples.insert(key(&format!("{name}_count"), pairs(&point.attributes)), point.count as f64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_is_scraped_arrives_with_the_same_values() {
    let watched = Watched::new();
    for number in 0..500 {
        assert!(watched.call("echo", number).await);
    }
    for _ in 0..50 {
        watched.call("fail", 0).await;
    }
    watched.deadlock().await;
    watched.call("block", 300).await;
    watched.start("wait", 1);
    eventually("the call", || watched.metric("freehold_calls_in_flight") == 1.0).await;
    let collector = Collector::saying(well());
    let _exports = export(&watched, collector.options());
    // What goes on meanwhile, as time does, is between two scrapes.
    let before = of_text(&watched.text("/metrics"));
    let (_, request) = collector.fresh();
    let after = of_text(&watched.text("/metrics"));
    let arrived = of_message(&request);
    assert!(arrived.keys().eq(after.keys()), "{:#?}\n{:#?}", arrived.keys(), after.keys());
    assert!(arrived.keys().eq(before.keys()));
    for (sample, value) in &arrived {
        let (low, high) = (before[sample].min(after[sample]), before[sample].max(after[sample]));
        // Each look takes its own time.
        let fits =
            (low..=high).contains(value) || (sample.starts_with("freehold_look_seconds") && *value > 0.0);
        assert!(fits, "{sample} is {value}, not {low} to {high}");
    }
    // And this was not all nothing.
    assert!(arrived.len() > 250 && metrics(&request).len() > 50, "{} samples", arrived.len());
    let echoes =
        ["method", "outcome"].map(String::from).into_iter().zip(["echo", "answered"].map(String::from));
    assert_eq!(arrived[&key("freehold_call_duration_seconds_count", echoes.collect())], 500.0);
    assert_eq!(arrived[&key("freehold_calls_in_flight", vec![])], 1.0);
    watched.shelf.go.add_permits(1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_says_who_it_is_and_sends_its_headers() {
    let (watched, collector) = (Watched::new(), Collector::saying(well()));
    let options = OtlpOptions {
        headers: vec![("Api-Key".to_owned(), "s3cret".to_owned())],
        service_name: Some("ledger".to_owned()),
        service_version: Some("7".to_owned()),
        attributes: vec![("zone".to_owned(), "b".to_owned())],
        ..collector.options()
    };
    let _exports = export(&watched, options);
    let (head, request) = collector.next();
    let head = head.to_lowercase();
    for line in ["post /v1/metrics http/1.1", "content-type: application/x-protobuf", "api-key: s3cret"] {
        assert!(head.lines().any(|told| told == line), "{line}: {head}");
    }
    let resource = pairs(&request.resource_metrics[0].resource.as_ref().unwrap().attributes);
    let of = |name: &str| resource.iter().find(|(known, _)| known == name).map(|(_, value)| &**value);
    assert_eq!(
        (of("service.name"), of("service.version"), of("zone")),
        (Some("ledger"), Some("7"), Some("b"))
    );
    let instance = of("service.instance.id").unwrap().to_owned();
    assert_eq!(instance.len(), 36, "{instance}");
    let (_, later) = collector.next();
    let resource = pairs(&later.resource_metrics[0].resource.as_ref().unwrap().attributes);
    assert!(resource.contains(&("service.instance.id".to_owned(), instance)), "it stays the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_collector_is_counted_and_gets_all_of_it_when_it_is_back() {
    let watched = Watched::new();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _exports = export(&watched, options(address));
    answers(&watched).await;
    eventually("two failures", || count(&watched, "failed") >= 2.0).await;
    assert_eq!(count(&watched, "delivered"), 0.0);
    let collector = Collector::at(TcpListener::bind(address).unwrap(), well());
    let (_, request) = collector.next();
    let answered = vec![("outcome".to_owned(), "answered".to_owned())];
    assert_eq!(of_message(&request)[&key("freehold_calls_total", answered)], 200.0);
    eventually("the delivery", || count(&watched, "delivered") >= 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_never_answers_delays_nothing_and_costs_exports() {
    let (watched, collector) = (Watched::new(), Collector::saying(None));
    let _exports = export(&watched, OtlpOptions { timeout: OFTEN * 5, ..collector.options() });
    collector.next();
    answers(&watched).await;
    eventually("a failure", || count(&watched, "failed") >= 2.0).await;
    // While it is waited for, its turns pass: they are not made up for.
    eventually("skipped exports", || count(&watched, "skipped") >= 4.0).await;
    assert_eq!(count(&watched, "delivered"), 0.0);
    collector.says(well());
    eventually("the delivery", || count(&watched, "delivered") >= 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_busy_is_left_alone_for_as_long_as_it_says() {
    let busy = answer("503 Service Unavailable\r\nRetry-After: 1", b"later");
    let (watched, collector) = (Watched::new(), Collector::saying(busy));
    let begun = TokioRuntime.now();
    let _exports = export(&watched, collector.options());
    collector.next();
    answers(&watched).await;
    collector.next();
    assert!(TokioRuntime.now() - begun >= Duration::from_secs(1), "it came back too early");
    assert!(count(&watched, "failed") >= 1.0 && count(&watched, "skipped") >= 1.0);
    collector.says(well());
    eventually("the delivery", || count(&watched, "delivered") >= 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_collector_refuses_or_is_none_is_counted() {
    let (watched, collector) = (Watched::new(), Collector::saying(answer("404 Not Found", b"")));
    let _exports = export(&watched, collector.options());
    eventually("a failure", || count(&watched, "failed") >= 1.0).await;
    // Not a message of protobuf.
    let failed = count(&watched, "failed");
    collector.says(answer("200 OK", b"<html>"));
    eventually("more of them", || count(&watched, "failed") >= failed + 2.0).await;
    assert_eq!((count(&watched, "delivered"), count(&watched, "rejected")), (0.0, 0.0));
    let partial = |rejected_data_points| {
        let part = ExportMetricsPartialSuccess { rejected_data_points, error_message: "as told".to_owned() };
        let told = ExportMetricsServiceResponse { partial_success: Some(part) };
        answer("200 OK", &told.encode_to_vec())
    };
    collector.says(partial(3));
    eventually("a refusal", || count(&watched, "rejected") >= 1.0).await;
    // With none refused, it is a hint only.
    collector.says(partial(0));
    eventually("the delivery", || count(&watched, "delivered") >= 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_too_long_to_be_read_is_a_failure_and_one_without_a_length_is_read() {
    let refused = |error_message: String| {
        let part = ExportMetricsPartialSuccess { rejected_data_points: 3, error_message };
        ExportMetricsServiceResponse { partial_success: Some(part) }.encode_to_vec()
    };
    let long = answer("200 OK", &refused("x".repeat(limits::OTLP_ANSWER as usize)));
    let (watched, collector) = (Watched::new(), Collector::saying(long));
    let _exports = export(&watched, collector.options());
    eventually("two failures", || count(&watched, "failed") >= 2.0).await;
    assert_eq!((count(&watched, "delivered"), count(&watched, "rejected")), (0.0, 0.0));
    let part = refused("as told".to_owned());
    let to_the_end = [b"HTTP/1.1 200 OK\r\n\r\n", &*part].concat();
    collector.says(Some(to_the_end));
    eventually("a refusal", || count(&watched, "rejected") >= 1.0).await;
    let rejected = count(&watched, "rejected");
    let head = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", part.len());
    collector.says(Some([head.as_bytes(), &part, b"\r\n0\r\n\r\n"].concat()));
    eventually("more of them", || count(&watched, "rejected") >= rejected + 2.0).await;
    assert_eq!(count(&watched, "delivered"), 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_sends_once_what_came_last() {
    let (watched, collector) = (Watched::new(), Collector::saying(well()));
    let exports =
        export(&watched, OtlpOptions { interval: limits::OTLP_INTERVAL_MOST, ..collector.options() });
    answers(&watched).await;
    drop(exports);
    let (_, request) = collector.exports.try_recv().expect("it was sent before the drop returned");
    let answered = vec![("outcome".to_owned(), "answered".to_owned())];
    assert_eq!(of_message(&request)[&key("freehold_calls_total", answered)], 200.0);
    assert_eq!(count(&watched, "delivered"), 1.0);
    assert!(collector.exports.try_recv().is_err(), "once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_waits_for_a_silent_collector_no_longer_than_its_limit() {
    let watched = Watched::with(Telemetry::new(), AdminOptions::default(), Limits::default());
    let collector = Collector::saying(None);
    let patient = OtlpOptions { timeout: limits::OTLP_TIMEOUT_MOST, ..collector.options() };
    let under_way = export(&watched, patient.clone());
    let not_begun = export(&watched, OtlpOptions { interval: limits::OTLP_INTERVAL_MOST, ..patient });
    collector.next();
    for exports in [under_way, not_begun] {
        let begun = TokioRuntime.now();
        drop(exports);
        let took = TokioRuntime.now() - begun;
        // Far below the time that the export itself has.
        assert!(took < limits::OTLP_FLUSH * 4, "{took:?}");
    }
}
