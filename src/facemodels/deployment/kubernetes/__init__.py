"""An environment as objects of Kubernetes: the same tags and plan, other servers and router.

Modules, lowest first:

- `target`: the cluster's part of an environment, names and labels of objects. Pure.
- `plan`: tags → versions and routes, by the functions that the local controller uses. Pure.
- `pods`: what runs in a pod, and the container that pulls the package before. Pure.
- `versions`: the objects of a version: Deployment, Service, PodDisruptionBudget, autoscaler. Pure.
- `http_routes`: Gateway API's HTTPRoutes of a model and of its versions. Pure.
- `models`: the objects of a model beside its route: ServiceMonitor, NetworkPolicy. Pure.
- `manifests`: all objects of an environment, in the order in which they are applied. Pure.
- `manifest_folder`: the same objects as a folder of files.
- `capacity`: how many pods a version keeps for requests that may come to it at once. Pure.
- `pod_states`: how often a server died and of what, and why a pod is not ready. Pure.
- `conduct`: keeps that, for the verdicts.
- `acceptance`: whether the Gateway uses a route. Pure.
- `client`: lists, watches, applies and deletes objects through an API server.
- `lease`: lets one controller at a time change them.
- `reconciler`: keeps the objects as they must be, in threads.
- `cluster`: the objects that an environment must have, the Lease, and what hinders both.
- `backend`: servers and router for the controller's loop.
"""
