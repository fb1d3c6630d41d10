{{/* What the operator needs in the namespaces that it watches: one rule a need, and nothing more. It can't write Secrets,
     ConfigMaps or JobRuns' specs, and can't touch pods. */}}
{{- define "jobrun.rules" -}}
# Reads the runs; deletes those whose ttlSecondsAfterFinished has passed.
- apiGroups: [jobrun.dev]
  resources: [jobruns]
  verbs: [get, list, watch, delete]
# Writes how a run stands.
- apiGroups: [jobrun.dev]
  resources: [jobruns/status]
  verbs: [update, patch]
# Starts, scales and removes the workers of runs.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
# Sees how workers fare, and why they don't start.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
# Reads tasks out of the ConfigMap that spec.tasks.configMap names.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
# Reads request headers from the Secret that spec.tasks.http.secretName names, and sees whether the one that workers log
# in to the broker with is there.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
# Tells of transitions and of failures to act; a repeated one is counted in the Event that is there.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
