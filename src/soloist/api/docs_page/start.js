// Shows this server's own document; nothing is fetched from elsewhere and no credential is kept.
SwaggerUIBundle({ url: "/soloist/v1/openapi.json", dom_id: "#operations", validatorUrl: null, deepLinking: true });
