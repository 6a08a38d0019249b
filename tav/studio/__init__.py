"""`tav studio`: a page in the browser for whoever does not type YAML. It adds and runs as `tav add` and the flow do.

fields.py has the settings as the page shows them, job.py runs stages, view.py draws, page.py puts it together with
gradio, server.py serves it.
"""
