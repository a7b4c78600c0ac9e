def settings():
    return {}
