"""Deploys versions, runs them behind one address, and rolls them back.

Tags of the registry say what must serve in an environment; a controller on the environment's
machine makes it so. Modules in reading order, highest last:

- `strategies`: the lists of environments, strategies and acts.
- `settings`: the settings of an environment, conf/deploy/<environment>.yaml.
- `desired`: reads from the tags what must serve. Pure.
- `rollback`: decides which version production goes back to. Pure.
- `deploy`: what `facemodels deploy` does; its docstring follows a canary to its tag.
- `servers`: the processes of the model servers.
- `router`: one address in front of all versions.
- `controller`: the loop, and the reactions to what monitoring finds.

Example:
    registry = open_registry(Path.cwd())
    settings = load(registry.root, "production")
    request = DeploymentRequest(ModelId.parse("rec-facenet-v2.2.0"), "production", "canary", 10)
    event = registry.act(deploy(registry, settings, request))
    desired(registry.repository.state(), "production")["recognition-facenet"].shares
    # {'rec-facenet-v2.1.3': 90, 'rec-facenet-v2.2.0': 10}
"""
