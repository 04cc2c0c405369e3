//! Metric handles by gateway and call target, created on first use: a tool without calls costs nothing. Tools have one
//! handle each, up to a limit of their gateway, since servers choose their names; other targets share one per method and
//! server, so that clients cannot create labels.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use toolgate_data_core::{View, plan::CallPlan};
use toolgate_model::{ObjectName, Slug, Uid};
use toolgate_runtime::{
    Metrics,
    metrics::{LatencyHistogram, OperationLabels},
};
use toolgate_sync::CallSubject;

use super::MethodLabel;

/// Maximum number of tools of a gateway that have a label of their own. Calls of further tools are counted together, under
/// `_OTHER`: one gateway does not use up the series of the others.
const TOOL_LABELS: usize = 500;

/// Handles of all gateways.
pub(super) struct MeterRegistry {
    metrics: Metrics,
    gateways: CopyOnWriteMap<ObjectName, Arc<GatewayMeter>>,
    overhead: CopyOnWriteMap<MethodLabel, LatencyHistogram>,
}

/// Handles of one gateway.
pub(super) struct GatewayMeter {
    metrics: Metrics,
    gateway: ObjectName,
    gateway_uid: Option<Uid>,
    tools: CopyOnWriteMap<Box<str>, Arc<TargetMeter>>,
    /// Histograms that the tools without a label of their own share.
    unlabelled_tools: Arc<OutcomeHistograms>,
    others: CopyOnWriteMap<(&'static str, Slug), Arc<TargetMeter>>,
    methods: CopyOnWriteMap<(MethodLabel, Option<&'static str>, &'static str), LatencyHistogram>,
    /// Subjects of requests that call no server.
    subjects: CopyOnWriteMap<MethodLabel, Arc<CallSubject>>,
}

/// Handles of one tool, or of one method of one server.
pub(super) struct TargetMeter {
    metrics: Metrics,
    subject: Arc<CallSubject>,
    has_own_label: bool,
    outcomes: Arc<OutcomeHistograms>,
}

/// Histograms of this proxy and of the server, by error and versions.
type OutcomeHistograms =
    CopyOnWriteMap<(Option<&'static str>, ProtocolVersions), (LatencyHistogram, LatencyHistogram)>;

/// Protocol versions of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ProtocolVersions {
    /// Version between client and proxy.
    pub(super) client: &'static str,
    /// Version between proxy and server.
    pub(super) server: &'static str,
}

/// Copy-on-write map: read without a lock, rarely extended.
struct CopyOnWriteMap<K, V>(ArcSwap<BTreeMap<K, V>>);

impl<K: Ord + Clone, V: Clone> CopyOnWriteMap<K, V> {
    fn new() -> Self {
        Self(ArcSwap::from_pointee(BTreeMap::new()))
    }

    fn get<Q>(&self, key: &Q, make: impl Fn() -> (K, V)) -> V
    where
        K: std::borrow::Borrow<Q>,
        Q: Ord + ?Sized,
    {
        if let Some(found) = self.0.load().get(key) {
            return found.clone();
        }
        let (key, made) = make();
        self.0.rcu(|table| {
            let mut table = BTreeMap::clone(table);
            table.entry(key.clone()).or_insert_with(|| made.clone());
            table
        });
        made
    }

    /// Reports if the map holds `key`, or has room for it below `limit` entries.
    fn admits<Q>(&self, key: &Q, limit: usize) -> bool
    where
        K: std::borrow::Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let table = self.0.load();
        table.len() < limit || table.contains_key(key)
    }

    fn with<Q>(&self, key: &Q, make: impl Fn() -> (K, V), use_it: impl Fn(&V))
    where
        K: std::borrow::Borrow<Q>,
        Q: Ord + ?Sized,
    {
        match self.0.load().get(key) {
            Some(found) => use_it(found),
            None => use_it(&self.get(key, make)),
        }
    }

    fn replace(&self, key: &K, made: &V) {
        self.0.rcu(|table| {
            let mut table = BTreeMap::clone(table);
            table.insert(key.clone(), made.clone());
            table
        });
    }

    fn retain(&self, keep: impl Fn(&K, &V) -> bool) {
        if !self.0.load().iter().all(|(key, value)| keep(key, value)) {
            self.0.rcu(|table| {
                let kept = table.iter().filter(|(key, value)| keep(key, value));
                kept.map(|(key, value)| (key.clone(), value.clone()))
                    .collect::<BTreeMap<_, _>>()
            });
        }
    }
}

impl MeterRegistry {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self {
            metrics,
            gateways: CopyOnWriteMap::new(),
            overhead: CopyOnWriteMap::new(),
        }
    }

    /// Returns the handles of a gateway. A gateway made later under the same name has other handles, so that the records of
    /// the two differ.
    pub(super) fn gateway(&self, gateway: &ObjectName, uid: Option<Uid>) -> Arc<GatewayMeter> {
        let make = || {
            let meter = GatewayMeter {
                metrics: self.metrics.clone(),
                gateway: gateway.clone(),
                gateway_uid: uid,
                tools: CopyOnWriteMap::new(),
                unlabelled_tools: Arc::new(CopyOnWriteMap::new()),
                others: CopyOnWriteMap::new(),
                methods: CopyOnWriteMap::new(),
                subjects: CopyOnWriteMap::new(),
            };
            (gateway.clone(), Arc::new(meter))
        };
        let found = self.gateways.get(gateway, make);
        if found.gateway_uid == uid {
            return found;
        }
        let (name, made) = make();
        self.gateways.replace(&name, &made);
        made
    }

    pub(super) fn overhead(&self, method: MethodLabel, own: Duration) {
        let make = || (method, self.metrics.overhead(method.as_str()));
        self.overhead
            .with(&method, make, |timing| timing.record(own));
    }

    pub(super) fn retain(&self, view: &View) {
        self.gateways.retain(|name, meter| {
            let gateway = view.gateway(name.id.as_str());
            gateway.is_some_and(|gateway| gateway.name == *name && gateway.uid == meter.gateway_uid)
        });
    }
}

impl GatewayMeter {
    pub(super) fn target(&self, call: &CallPlan) -> Arc<TargetMeter> {
        let (method, server) = (call.target.method(), &call.server().name.id);
        if let Some(tool) = call.target.tool() {
            return self.tool(&tool.exposed, method, server);
        }
        let key = (method, server.clone());
        let make = || {
            let meter = self.meter(method, None, server, Arc::new(CopyOnWriteMap::new()));
            (key.clone(), Arc::new(meter))
        };
        self.others.get(&key, make)
    }

    /// Returns the handles of a tool. Beyond the limit, they are made for each call, with shared histograms.
    pub(super) fn tool(
        &self,
        exposed: &str,
        method: &'static str,
        server: &Slug,
    ) -> Arc<TargetMeter> {
        if !self.tools.admits(exposed, TOOL_LABELS) {
            let shared = Arc::clone(&self.unlabelled_tools);
            let mut meter = self.meter(method, Some(exposed), server, shared);
            meter.has_own_label = false;
            return Arc::new(meter);
        }
        self.tools.get(exposed, || {
            let own = Arc::new(CopyOnWriteMap::new());
            let meter = self.meter(method, Some(exposed), server, own);
            (exposed.into(), Arc::new(meter))
        })
    }

    fn meter(
        &self,
        method: &'static str,
        tool: Option<&str>,
        server: &Slug,
        outcomes: Arc<OutcomeHistograms>,
    ) -> TargetMeter {
        TargetMeter {
            metrics: self.metrics.clone(),
            subject: Arc::new(CallSubject {
                gateway: self.gateway.clone(),
                gateway_uid: self.gateway_uid,
                method,
                tool: tool.map(Box::from),
                server: Some(server.clone()),
            }),
            has_own_label: true,
            outcomes,
        }
    }

    pub(super) fn method(
        &self,
        method: MethodLabel,
        error: Option<&'static str>,
        version: &'static str,
        took: Duration,
    ) {
        let key = (method, error, version);
        let make = || {
            let operation = OperationLabels {
                method: method.as_str(),
                tool: None,
                error,
                version,
                gateway: self.gateway.id.as_str(),
                server: "",
            };
            (key, self.metrics.server_operation(&operation))
        };
        self.methods.with(&key, make, |timing| timing.record(took));
    }

    /// Returns the subject of requests with this method that call no server.
    pub(super) fn subject(&self, method: MethodLabel) -> Arc<CallSubject> {
        self.subjects.get(&method, || {
            let subject = CallSubject {
                gateway: self.gateway.clone(),
                gateway_uid: self.gateway_uid,
                method: method.as_str(),
                tool: None,
                server: None,
            };
            (method, Arc::new(subject))
        })
    }
}

impl TargetMeter {
    /// Returns the subject of the calls.
    pub(super) fn subject(&self) -> Arc<CallSubject> {
        Arc::clone(&self.subject)
    }

    /// Records a call that took `took` in total, of which it waited `waited` for the server.
    pub(super) fn record(
        &self,
        error: Option<&'static str>,
        spoken: ProtocolVersions,
        took: Duration,
        waited: Duration,
    ) {
        let key = (error, spoken);
        let make = || {
            let subject = &self.subject;
            let (tool, server) = match self.has_own_label {
                true => (subject.tool.as_deref(), subject.server.as_ref()),
                false => (Some(MethodLabel::OTHER.as_str()), None),
            };
            let operation = |version| OperationLabels {
                method: subject.method,
                tool,
                error,
                version,
                gateway: subject.gateway.id.as_str(),
                server: server.map_or("", Slug::as_str),
            };
            let server_histogram = self.metrics.server_operation(&operation(spoken.client));
            let client_histogram = self.metrics.client_operation(&operation(spoken.server));
            (key, (server_histogram, client_histogram))
        };
        self.outcomes
            .with(&key, make, |(server_histogram, client_histogram)| {
                server_histogram.record(took);
                client_histogram.record(waited);
            });
    }
}
