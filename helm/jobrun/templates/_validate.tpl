{{/* What a schema can't say: values that exclude each other. Included where every release comes by. */}}
{{- define "jobrun.validate" -}}
{{- $nats := .Values.nats -}}
{{- if $nats.enabled -}}
{{- if or $nats.url $nats.existingSecret.name -}}
{{- fail "nats.url and nats.existingSecret are for a broker of your own: set nats.enabled=false with them" -}}
{{- end -}}
{{- if not (or $nats.image.tag $nats.image.digest) -}}
{{- fail "nats.image.tag: say which image of the broker, by its tag or its digest" -}}
{{- end -}}
{{- if eq (include "jobrun.workerSecretName" .) (include "jobrun.natsAuthSecret" .) -}}
{{- fail (printf "nats.workerSecret.name: %s is the Secret with the passwords of all of the broker's users; give the workers' login another name" (include "jobrun.natsAuthSecret" .)) -}}
{{- end -}}
{{- if ne (int .Values.settings.streamReplicas) 1 -}}
{{- fail "settings.streamReplicas: the included broker is a single server; for replicas use your own (nats.enabled=false)" -}}
{{- end -}}
{{- if and $nats.tls.ca (not $nats.tls.secretName) -}}
{{- fail "nats.tls.ca: the broker has no TLS without nats.tls.secretName, which names the Secret with its certificate" -}}
{{- end -}}
{{- $disk := $nats.persistence.size -}}
{{- if ge (include "jobrun.bytes" $nats.jetstream.maxFileStore | float64) (include "jobrun.bytes" $disk | float64) -}}
{{- fail (printf "nats.jetstream.maxFileStore: %s has to be less than nats.persistence.size (%v), so that the broker refuses tasks before its disk is full" $nats.jetstream.maxFileStore $disk) -}}
{{- end -}}
{{- with (($nats.resources).limits).memory -}}
{{- if ge (include "jobrun.bytes" $nats.goMemoryLimit | float64) (include "jobrun.bytes" . | float64) -}}
{{- fail (printf "nats.goMemoryLimit: %s has to be less than nats.resources.limits.memory (%v), about 90 %% of it: change both together" $nats.goMemoryLimit .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $nats.existingSecret -}}
{{- if and .name .userKey (not .credsKey) (not .passwordKey) -}}
{{- fail "nats.existingSecret.passwordKey: say which key has the password; without a user's name, set userKey to nothing as well" -}}
{{- end -}}
{{- if and .name .certKey (not .certKeyKey) -}}
{{- fail "nats.existingSecret.certKeyKey: say which key has the key of the certificate that certKey names" -}}
{{- end -}}
{{- end -}}
{{- $own := include "jobrun.ownLabels" (list . "operator") | fromYaml -}}
{{- range $value, $labels := dict "commonLabels" .Values.commonLabels "podLabels" .Values.podLabels "nats.podLabels" $nats.podLabels -}}
{{- range $label, $_ := $labels -}}
{{- if hasKey $own $label -}}
{{- fail (printf "%s: %s is set by the chart itself; leave it out" $value $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled (not .Values.metrics.service.enabled) -}}
{{- fail "metrics.serviceMonitor.enabled needs metrics.service.enabled" -}}
{{- end -}}
{{- include "jobrun.validateOthers" . -}}
{{- end -}}

{{/* A run is of one release. Another one that runs the same JobRuns is known by its Role or ClusterRole, where there is a
     cluster to ask: `helm template` and Argo CD ask none. */}}
{{- define "jobrun.validateOthers" -}}
{{- if .Values.rbac.create -}}
{{- $mine := printf "%s/%s" .Release.Namespace .Release.Name -}}
{{- $api := "rbac.authorization.k8s.io/v1" -}}
{{- $roles := (lookup $api "ClusterRole" "" "").items | default list -}}
{{- range $namespace := .Values.watchNamespaces | default (list "") -}}
{{- $roles = concat $roles ((lookup $api "Role" $namespace "").items | default list) -}}
{{- end -}}
{{- range $role := $roles -}}
{{- $labels := $role.metadata.labels | default dict -}}
{{- $told := $role.metadata.annotations | default dict -}}
{{- $release := printf "%s/%s" (get $told "meta.helm.sh/release-namespace") (get $told "meta.helm.sh/release-name") -}}
{{- $runs := and (eq (get $labels "app.kubernetes.io/part-of") "jobrun") (eq (get $labels "app.kubernetes.io/component") "operator") -}}
{{- if and $runs (ne $release $mine) (not (hasSuffix ":cluster-identity" $role.metadata.name)) -}}
{{- $where := ternary (printf "the namespace %s" $role.metadata.namespace) "all namespaces" (hasKey $role.metadata "namespace") -}}
{{- fail (printf "watchNamespaces: another release (%s) runs the JobRuns of %s, and each run must be of one release: give both releases namespaces of their own" $release $where) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A size, in the units of Kubernetes, of nats-server or of Go -> its bytes. */}}
{{- define "jobrun.bytes" -}}
{{- $number := regexFind "^[0-9.]+([eE][0-9]+)?" (toString .) -}}
{{- $units := dict "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 -}}
{{- range $power, $letter := list "" "K" "M" "G" "T" "P" "E" -}}
{{- $bytes := 1 -}}
{{- range until $power -}}
{{- $bytes = mul $bytes 1024 -}}
{{- end -}}
{{- range $form := list "i" "iB" "B" -}}
{{- $_ := set $units (print $letter $form) $bytes -}}
{{- end -}}
{{- end -}}
{{- mulf ($number | float64) (get $units (trimPrefix $number (toString .)) | default 1) -}}
{{- end -}}
