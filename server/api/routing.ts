/** Routes by path: what a path has no method for is answered 405 with the methods it has. */
import type { Express, RequestHandler } from 'express';
import { HttpProblem } from '../problem.ts';

type Method = 'get' | 'post' | 'delete';

export interface RouteTable {
  add(path: string, handlers: { readonly [Name in Method]?: RequestHandler | RequestHandler[] }): void;
  /** For a path whose routes are there already. */
  refuseOthers(path: string, methods: readonly Method[]): void;
}

export function createRouteTable(app: Express): RouteTable {
  function refuseOthers(path: string, methods: readonly Method[]): void {
    const allowed = methods.flatMap((method) => (method === 'get' ? ['GET', 'HEAD'] : [method.toUpperCase()]));
    app.route(path).all((request, response, next) => {
      if (allowed.includes(request.method)) return next();
      response.set('Allow', [...allowed, 'OPTIONS'].join(', '));
      if (request.method === 'OPTIONS') return void response.status(204).end();
      const detail = `${request.path} does not take ${request.method}: it takes ${allowed.join(', ')}`;
      throw new HttpProblem(405, 'Method not allowed', detail);
    });
  }
  return {
    add(path, handlers) {
      const methods = Object.keys(handlers) as Method[];
      refuseOthers(path, methods);
      for (const method of methods) {
        const own = handlers[method];
        if (own !== undefined) app[method](path, own);
      }
    },
    refuseOthers,
  };
}

/** The API speaks JSON: whoever takes none is told so instead of getting it. */
export const onlyJson: RequestHandler = (request, _response, next) => {
  if (request.accepts(['json', 'application/problem+json']) !== false) return next();
  const accepted = JSON.stringify(request.headers.accept);
  throw new HttpProblem(
    406,
    'Not acceptable',
    `Accept: ${accepted} has no JSON in it: application/json is all there is`,
  );
};
