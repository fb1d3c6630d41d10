"""A handler: one task's payload in, its result out."""


def greet(payload: dict[str, str]) -> dict[str, str]:
    return {"greeting": f"Hello, {payload['name']}!"}
