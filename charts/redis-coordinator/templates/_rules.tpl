{{/* What the coordinator may do to clusters, in one namespace or in all. */}}
{{- define "redis-coordinator.rules" -}}
# The source of all work: which clusters are wanted, and every edit of them.
- apiGroups: [redisnode.io]
  resources: [redisclusters]
  verbs: [list, watch]
# What it tells about a cluster. It never changes what you have written.
- apiGroups: [redisnode.io]
  resources: [redisclusters/status]
  verbs: [patch]
# What it makes belongs to its cluster and blocks the end of it. Where the API server checks that (OpenShift does), this is
# what it asks for.
- apiGroups: [redisnode.io]
  resources: [redisclusters/finalizers]
  verbs: [update]
# The members: it follows them, writes their role and shard as labels, and deletes one to have it made anew (a rolling
# update, or a node that is lost). It never creates one, and never opens a shell in one.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch, delete]
# The StatefulSet of each cluster: its size, its template, and the number of the leader that may write. Deleting it is left
# to Kubernetes, when the cluster goes.
- apiGroups: [apps]
  resources: [statefulsets]
  verbs: [list, watch, create, patch]
# The two Services of each cluster: for its nodes among each other, and for clients.
- apiGroups: [""]
  resources: [services]
  verbs: [list, watch, create, patch]
# How many pods of a cluster may be evicted at a time.
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [list, watch, create, patch]
# The token by which a cluster's agents know each other and the coordinator. Each is read by its name: without list and
# watch no other Secret can be found.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create, patch]
# What happened, for `kubectl describe` and `kubectl events`. The second time it happens the first event is patched.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end }}

{{/* What no namespace holds. */}}
{{- define "redis-coordinator.clusterRules" -}}
# Zones and hosts are labels of nodes, by which shards are spread; whether a node is lost for good is a taint of it.
- apiGroups: [""]
  resources: [nodes]
  verbs: [list, watch]
{{- end }}

{{/* What it needs in its own namespace. */}}
{{- define "redis-coordinator.leaseRules" -}}
# The Lease by which one of the coordinators leads, and on which the numbers of all leaders' lives are written.
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, create, update]
{{- end }}
