"""Write .dvc/plots.html: DVC's page of plots with Vega inside, so that it opens offline.

DVC's own page loads Vega from a content network and is blank without it. The bundle
comes from vl-convert-python, of the Vega-Lite version that DVC's plot templates are for.
"""

from pathlib import Path

import vl_convert

VEGA_LITE = "5.20"
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{refresh_tag}
<title>DVC plots</title>
<script type="text/javascript">
%s
</script>
<style>
body { font-family: sans-serif; }
table { border-spacing: 15px; }
</style>
</head>
<body>
{plot_divs}
</body>
</html>
"""

if __name__ == "__main__":
    # The stub asks for a snippet; the function does not.
    bundle = vl_convert.javascript_bundle(vl_version=VEGA_LITE)  # type: ignore[call-arg]
    # An end tag within a string of the script would end the script.
    page = PAGE % bundle.replace("</script", "<\\/script")
    Path(".dvc", "plots.html").write_text(page, encoding="utf-8")
