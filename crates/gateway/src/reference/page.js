// Shows the document beside this page. Requests that are tried out go to the same origin.
SwaggerUIBundle({
  url: "/v1/openapi.json",
  dom_id: "#reference",
  deepLinking: true,
  filter: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  docExpansion: "list",
  // The badge of an online validator would be fetched from elsewhere.
  validatorUrl: null,
});
